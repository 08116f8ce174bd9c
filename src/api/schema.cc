#include "api/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "api/json_text.h"
#include "base/assert.h"
#include "base/text.h"
#include "connectors/common/text.h"
#include "egress/url.h"

namespace sluice::api {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kStringBytesMax = 8 * 1024;
constexpr std::size_t kSecretBytesMax = 16 * 1024;  // a PEM key or a service account's JSON

using Problem = std::optional<std::string>;  // nullopt: none

std::string_view text_of(const json& value) { return value.get_ref<const std::string&>(); }

Problem check_string(const json& value, std::size_t bytes_max, std::string_view allowed_controls) {
  if (!value.is_string()) return "must be a string";
  const std::string_view text = text_of(value);
  if (text.empty()) return "must not be empty";
  if (text.size() > bytes_max) return fmt::format("must be at most {} bytes long", bytes_max);
  if (has_control(text, allowed_controls)) return "must not hold control characters";
  return std::nullopt;
}

// What an answer shows, be it an empty default, may be sent back.
Problem check_text(const json& field, const json& value) {
  if (field.contains("default") && value == field.at("default")) return std::nullopt;
  return check_string(value, kStringBytesMax, "");
}

Problem check_pem(const json&, const json& value) {
  return check_string(value, kSecretBytesMax, "\t\r\n");
}

Problem check_secret(const json&, const json& value) {
  const Problem problem = check_string(value, kSecretBytesMax, "\t\r\n");
  if (!problem && text_of(value) == kMask) return "*** stands for what is stored, and nothing is";
  return problem;
}

Problem check_integer(const json& field, const json& value) {
  const auto min = field.value("min", std::numeric_limits<std::int64_t>::min());
  const auto max = field.value("max", std::numeric_limits<std::int64_t>::max());
  // An unsigned number beyond the signed range must not wrap into it.
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() ||
                     value.get<std::uint64_t>() <=
                         static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (fits && value.get<std::int64_t>() >= min && value.get<std::int64_t>() <= max) {
    return std::nullopt;
  }
  if (min == max) return fmt::format("must be {}", min);
  return fmt::format("must be an integer from {} to {}", min, max);
}

Problem check_boolean(const json&, const json& value) {
  return value.is_boolean() ? std::nullopt : Problem("must be true or false");
}

Problem check_enum(const json& field, const json& value) {
  const json& values = field.at("values");
  if (std::ranges::find(values, value) != values.end()) return std::nullopt;
  std::string list;
  for (const json& one : values) list += (list.empty() ? "" : ", ") + one.get<std::string>();
  return "must be one of " + list;
}

Problem check_map(const json&, const json& value) {
  if (!value.is_object()) return "must be an object of strings";
  if (value.size() > kMapMax) return fmt::format("must be at most {} entries", kMapMax);
  for (const auto& [key, one] : value.items()) {
    if (const Problem problem = check_string(one, kStringBytesMax, "")) return key + " " + *problem;
  }
  return std::nullopt;
}

struct Header {
  std::string_view name;
  std::string_view value;  // without the blanks around it
};

// Split at the first colon; nullopt: there is none.
std::optional<Header> split_header(const json& header) {
  if (!header.is_string()) return std::nullopt;
  const std::string_view text = text_of(header);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view value = text.substr(colon + 1);
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  return Header{text.substr(0, colon), value.substr(0, value.find_last_not_of(" \t") + 1)};
}

bool is_masked_header(const json& header) {
  const std::optional<Header> split = split_header(header);
  return split && split->value == kMask;
}

Problem check_headers(const json&, const json& value) {
  if (!value.is_array()) return R"(must be a list of "name:value")";
  if (value.size() > kHeadersMax) return fmt::format("must be at most {} entries", kHeadersMax);
  for (const json& header : value) {
    const Problem problem = check_string(header, kStringBytesMax, "\t");
    if (problem) return "each entry " + *problem;
    const std::optional<Header> split = split_header(header);
    if (!split || split->name.empty()) return R"(each entry must be "name:value")";
    if (split->value == kMask) {
      return fmt::format("{}: *** stands for what is stored, and nothing is", split->name);
    }
  }
  return std::nullopt;
}

char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

json masked_secret(const json& value) { return value.is_null() ? json() : json(kMask); }

json masked_headers(const json& value) {
  json masked = json::array();
  if (!value.is_array()) return masked;
  for (const json& header : value) {
    const std::optional<Header> split = split_header(header);
    masked.push_back(split ? fmt::format("{}:{}", split->name, kMask) : std::string(kMask));
  }
  return masked;
}

json restored_secret(const json& given, const json& stored) {
  return given == kMask && !stored.is_null() ? stored : given;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, ascii_lower, ascii_lower);
}

// The first masked header of a name stands for the first one stored of that name, and so on.
json restored_headers(const json& given, const json& stored) {
  if (!given.is_array() || !stored.is_array()) return given;
  json restored = given;
  std::vector<const json*> left;
  for (const json& header : stored) left.push_back(&header);
  for (json& header : restored) {
    if (!is_masked_header(header)) continue;
    const std::string_view name = split_header(header)->name;
    const auto found = std::ranges::find_if(left, [name](const json* one) {
      const std::optional<Header> split = split_header(*one);
      return split && same_name(split->name, name);
    });
    if (found == left.end()) continue;
    header = **found;
    left.erase(found);
  }
  return restored;
}

struct KindRow {
  std::string_view name;
  Problem (*check)(const json& field, const json& value);
  json (*mask)(const json& value);  // null: not secret, shown as it is
  json (*restore)(const json& given, const json& stored);
};

constexpr std::array<KindRow, 9> kKinds = {{
    {"string", check_text, nullptr, nullptr},
    {"url", check_text, nullptr, nullptr},
    {"pem", check_pem, nullptr, nullptr},
    {"secret", check_secret, masked_secret, restored_secret},
    {"integer", check_integer, nullptr, nullptr},
    {"boolean", check_boolean, nullptr, nullptr},
    {"enum", check_enum, nullptr, nullptr},
    {"map", check_map, nullptr, nullptr},
    {"headers", check_headers, masked_headers, restored_headers},
}};

const KindRow& kind_of(const json& field) {
  const std::string_view name = text_of(field.at("kind"));
  const auto* const row = std::ranges::find(kKinds, name, &KindRow::name);
  SLUICE_ASSERT(row != kKinds.end());  // a schema is part of the program
  return *row;
}

const json& value_of(const json& settings, const std::string& key) {
  static const json kAbsent;
  const auto found = settings.find(key);
  return found == settings.end() ? kAbsent : *found;
}

// Of a URL its host and port and whether it is https; of anything else the whole value.
bool same_target(const json& field, const json& a, const json& b) {
  if (a == b || field.at("kind") != "url" || !a.is_string() || !b.is_string()) return a == b;
  const Result<egress::Url> one = egress::parse_url(text_of(a));
  const Result<egress::Url> other = egress::parse_url(text_of(b));
  return one && other && one->host == other->host && one->port == other->port &&
         one->tls == other->tls;
}

const json* find_field(const json& fields, std::string_view key) {
  const auto found = std::ranges::find_if(
      fields, [key](const json& field) { return text_of(field.at("key")) == key; });
  return found == fields.end() ? nullptr : &*found;
}

}  // namespace

json complete_settings(std::string_view schema_json, const json& settings, std::string_view path,
                       Faults& faults) {
  const json schema = json::parse(schema_json);
  const json& fields = schema.at("fields");
  json complete = json::object();
  if (!settings.is_object()) {
    faults.add(path, "must be an object");
    return complete;
  }
  for (const auto& [key, value] : settings.items()) {
    if (find_field(fields, key) == nullptr) {
      faults.add(fmt::format("{}.{}", path, key), "unknown property");
    }
  }
  for (const json& field : fields) {
    const std::string& key = field.at("key").get_ref<const std::string&>();
    const std::string property = fmt::format("{}.{}", path, key);
    const auto given = settings.find(key);
    if (given != settings.end()) {
      const Problem problem = kind_of(field).check(field, *given);
      if (problem) faults.add(property, *problem);
      complete[key] = *given;
    } else if (field.value("required", false)) {
      faults.add(property, "is required");
    } else if (field.contains("default")) {
      complete[key] = field.at("default");
    }
  }
  return complete;
}

json merge_settings(std::string_view schema_json, const json& stored, const json& given) {
  if (!given.is_object()) return given;
  const json schema = json::parse(schema_json);
  json merged = stored;
  for (const auto& [key, value] : given.items()) {
    const json* field = find_field(schema.at("fields"), key);
    if (value.is_null()) {
      merged.erase(key);
    } else if (field != nullptr && kind_of(*field).restore != nullptr) {
      merged[key] = kind_of(*field).restore(value, value_of(stored, key));
    } else {
      merged[key] = value;
    }
  }
  return merged;
}

std::optional<std::string> moved_target(std::string_view schema_json, const json& stored,
                                        const json& complete) {
  const json schema = json::parse(schema_json);
  for (const json& field : schema.at("fields")) {
    const std::string& key = field.at("key").get_ref<const std::string&>();
    if (!field.value("target", false)) continue;
    if (!same_target(field, value_of(stored, key), value_of(complete, key))) return key;
  }
  return std::nullopt;
}

void require_secrets_anew(std::string_view schema_json, const json& stored, const json& given,
                          std::string_view moved, std::string_view path, Faults& faults) {
  const json schema = json::parse(schema_json);
  for (const json& field : schema.at("fields")) {
    const KindRow& kind = kind_of(field);
    if (kind.mask == nullptr) continue;
    const std::string& key = field.at("key").get_ref<const std::string&>();
    const json& secret = value_of(stored, key);
    const bool anew = given.contains(key) && kind.restore(given.at(key), secret) == given.at(key);
    if (secret.empty() || anew) continue;
    faults.add(fmt::format("{}.{}", path, key), given_anew(moved));
  }
}

std::string given_anew(std::string_view moved) {
  return fmt::format("must be given anew: a change of {} sends it elsewhere", moved);
}

bool shapes_alike(std::string_view schema_json, const json& a, const json& b) {
  const json schema = json::parse(schema_json);
  return std::ranges::all_of(schema.at("fields"), [&](const json& field) {
    const std::string& key = field.at("key").get_ref<const std::string&>();
    const bool matters = field.value("target", false) || field.value("shapes", false);
    return !matters || value_of(a, key) == value_of(b, key);
  });
}

bool names_header(const json& entry, std::string_view name) {
  const std::optional<Header> split = split_header(entry);
  return split && same_name(split->name, name);
}

ordered_json mask_settings(std::string_view schema_json, const json& settings) {
  const json schema = json::parse(schema_json);
  ordered_json masked = ordered_json::object();
  if (!settings.is_object()) return masked;
  for (const json& field : schema.at("fields")) {
    const std::string& key = field.at("key").get_ref<const std::string&>();
    const auto value = settings.find(key);
    if (value == settings.end()) continue;
    const KindRow& kind = kind_of(field);
    masked[key] = kind.mask == nullptr ? *value : kind.mask(*value);
  }
  return masked;
}

}  // namespace sluice::api
