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

namespace sluice::api {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kStringBytesMax = 8 * 1024;
constexpr std::size_t kSecretBytesMax = 16 * 1024;  // a PEM key or a service account's JSON
constexpr std::size_t kHeadersMax = 64;

using Problem = std::optional<std::string>;  // nullopt: none

std::string_view text_of(const json& value) { return value.get_ref<const std::string&>(); }

bool has_control_character(std::string_view text, std::string_view allowed) {
  return std::ranges::any_of(text, [allowed](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 || byte == 0x7f) && allowed.find(c) == std::string_view::npos;
  });
}

Problem check_string(const json& value, std::size_t bytes_max, std::string_view allowed_controls) {
  if (!value.is_string()) return "must be a string";
  const std::string_view text = text_of(value);
  if (text.empty()) return "must not be empty";
  if (text.size() > bytes_max) return fmt::format("must be at most {} bytes long", bytes_max);
  if (has_control_character(text, allowed_controls)) return "must not hold control characters";
  return std::nullopt;
}

Problem check_text(const json&, const json& value) {
  return check_string(value, kStringBytesMax, "");
}

Problem check_secret(const json&, const json& value) {
  const Problem problem = check_string(value, kSecretBytesMax, "\t\r\n");
  if (!problem && text_of(value) == kMask)
    return "*** stands for what is stored, and nothing is yet";
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

Problem check_headers(const json&, const json& value) {
  if (!value.is_array()) return R"(must be a list of "name:value")";
  if (value.size() > kHeadersMax) return fmt::format("must be at most {} entries", kHeadersMax);
  for (const json& header : value) {
    const Problem problem = check_string(header, kStringBytesMax, "\t");
    if (problem) return "each entry " + *problem;
    const std::string_view text = text_of(header);
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0) return R"(each entry must be "name:value")";
    std::string_view rest = text.substr(colon + 1);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (rest.substr(0, rest.find_last_not_of(" \t") + 1) == kMask) {
      return "*** stands for what is stored, and nothing is yet";
    }
  }
  return std::nullopt;
}

json masked_secret(const json& value) { return value.is_null() ? json() : json(kMask); }

json masked_headers(const json& value) {
  json masked = json::array();
  if (!value.is_array()) return masked;
  for (const json& header : value) {
    const std::string_view text = header.is_string() ? text_of(header) : std::string_view();
    const std::size_t colon = text.find(':');
    const std::string_view name = colon == text.npos ? "" : text.substr(0, colon + 1);
    masked.push_back(std::string(name) + std::string(kMask));
  }
  return masked;
}

struct KindRow {
  std::string_view name;
  Problem (*check)(const json& field, const json& value);
  json (*mask)(const json& value);  // null: shown as it is
};

constexpr std::array<KindRow, 7> kKinds = {{
    {"string", check_text, nullptr},
    {"url", check_text, nullptr},
    {"secret", check_secret, masked_secret},
    {"integer", check_integer, nullptr},
    {"boolean", check_boolean, nullptr},
    {"enum", check_enum, nullptr},
    {"headers", check_headers, masked_headers},
}};

const KindRow& kind_of(const json& field) {
  const std::string_view name = text_of(field.at("kind"));
  const auto* const row = std::ranges::find(kKinds, name, &KindRow::name);
  SLUICE_ASSERT(row != kKinds.end());  // a schema is part of the program
  return *row;
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
