#pragma once
// For the tests: what a filter means, written down once more as plainly as possible. Slow, and
// shares no code with the product.

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/kind.h"

namespace sluice::filters::slow {

using nlohmann::json;

// The JSON text with "$" in front of each string and "#" in front of each number, which becomes a
// string too: so no number is too large, and none is rounded.
inline json tagged(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      out += "\"$";
      for (++i; text[i] != '"'; ++i) {
        out += text[i];
        if (text[i] == '\\') out += text[++i];
      }
      out += '"';
    } else if (c == '-' || (c >= '0' && c <= '9')) {
      const std::size_t end = std::min(text.find_first_not_of("+-.0123456789eE", i), text.size());
      out += "\"#" + std::string(text.substr(i, end - i)) + "\"";
      i = end - 1;
    } else {
      out += c;
    }
  }
  return json::parse(out);
}

// A number written out: "-12.5e1" is {true, "125", ""}, without needless zeros.
struct Number {
  bool negative;
  std::string whole;
  std::string fraction;
};

struct TooLong {};  // thrown: written out, the number would be endless

inline std::optional<Number> number(std::string text) {
  std::string mantissa = text.substr(0, text.find_first_of("eE"));
  std::string exponent = mantissa.size() < text.size() ? text.substr(mantissa.size() + 1) : "0";
  // JSON's grammar, by somebody else's parser; a large exponent would be too much for it.
  if (!json::accept(mantissa) || mantissa.find_first_not_of("-.0123456789") != mantissa.npos) {
    return std::nullopt;
  }
  if (exponent.starts_with('+')) exponent.erase(0, 1);
  const std::string digits = exponent.starts_with('-') ? exponent.substr(1) : exponent;
  if (digits.empty() || digits.find_first_not_of("0123456789") != digits.npos) return std::nullopt;
  if (digits.size() > 4) throw TooLong();
  Number value{mantissa.starts_with('-'), mantissa.substr(mantissa.starts_with('-') ? 1 : 0), ""};
  if (const std::size_t point = value.whole.find('.'); point != value.whole.npos) {
    value.fraction = value.whole.substr(point + 1);
    value.whole.resize(point);
  }
  for (int shift = std::stoi(exponent); shift > 0; --shift) {
    value.whole += value.fraction.empty() ? '0' : value.fraction.front();
    if (!value.fraction.empty()) value.fraction.erase(0, 1);
  }
  for (int shift = std::stoi(exponent); shift < 0; ++shift) {
    value.fraction.insert(0, 1, value.whole.empty() ? '0' : value.whole.back());
    if (!value.whole.empty()) value.whole.pop_back();
  }
  while (value.whole.starts_with('0')) value.whole.erase(0, 1);
  while (value.fraction.ends_with('0')) value.fraction.pop_back();
  if (value.whole.empty() && value.fraction.empty()) value.negative = false;
  return value;
}

inline int compare(const Number& a, const Number& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  const int sign = a.negative ? -1 : 1;
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -sign : sign;
  if (const int order = a.whole.compare(b.whole); order != 0) return order < 0 ? -sign : sign;
  const int order = a.fraction.compare(b.fraction);
  return order == 0 ? 0 : order < 0 ? -sign : sign;
}

struct Field {
  enum Type { Number, Text, Flag, Kind } type;
  std::vector<std::string> usage;
  std::vector<std::string> event;
};

// streams.md, Filters, in its own order.
inline const std::map<std::string, Field>& fields() {
  static const std::map<std::string, Field> kFields = {
      {"event_type_id", {Field::Number, {}, {"event_type.id"}}},
      {"alert", {Field::Flag, {}, {"alert"}}},
      {"event_severity_id", {Field::Number, {}, {"event_severity.id"}}},
      {"event_source_id", {Field::Number, {}, {"event_source.id"}}},
      {"description", {Field::Text, {}, {"description"}}},
      {"endpoint_id", {Field::Number, {"endpoint.id"}, {"endpoint.id"}}},
      {"endpoint_name", {Field::Text, {"endpoint.name"}, {"endpoint.name"}}},
      {"endpoint_tags", {Field::Text, {"endpoint.tags"}, {"endpoint.tags"}}},
      {"endpoint_ip_address",
       {Field::Text,
        {"endpoint.ip_address", "detail.pdp_context.ue_ip_address"},
        {"endpoint.ip_address", "detail.pdp_context.ue_ip_address"}}},
      {"imei", {Field::Text, {"endpoint.imei"}, {"endpoint.imei"}}},
      {"imsi", {Field::Text, {"imsi"}, {"imsi.imsi"}}},
      {"iccid", {Field::Text, {"sim.iccid"}, {"sim.iccid"}}},
      {"msisdn", {Field::Text, {"sim.msisdn"}, {"sim.msisdn"}}},
      {"sim_id", {Field::Number, {"sim.id"}, {"sim.id"}}},
      {"operator_id", {Field::Number, {"operator.id"}, {"detail.id"}}},
      {"country_id", {Field::Number, {"operator.country.id"}, {"detail.country.id"}}},
      {"country_iso_code",
       {Field::Text, {"operator.country.iso_code"}, {"detail.country.iso_code"}}},
      {"mcc",
       {Field::Text, {"operator.country.mcc"}, {"detail.country.mcc", "detail.pdp_context.mcc"}}},
      {"mnc", {Field::Text, {"operator.mnc"}, {"detail.pdp_context.mnc", "detail.mnc.[].mnc"}}},
      {"apn", {Field::Text, {"detail.pdp_context.apn"}, {"detail.pdp_context.apn"}}},
      {"rat_type",
       {Field::Number, {"detail.pdp_context.rat_type"}, {"detail.pdp_context.rat_type"}}},
      {"traffic_type_id", {Field::Number, {"traffic_type.id"}, {}}},
      {"tariff_id", {Field::Number, {"tariff.id"}, {}}},
      {"ratezone_id", {Field::Number, {"tariff.ratezone.id"}, {}}},
      {"volume_total", {Field::Number, {"volume.total"}, {"detail.volume.total"}}},
      {"volume_rx", {Field::Number, {"volume.rx"}, {"detail.volume.rx"}}},
      {"volume_tx", {Field::Number, {"volume.tx"}, {"detail.volume.tx"}}},
      {"cost", {Field::Number, {"cost"}, {}}},
      {"kind", {Field::Kind, {}, {}}}};
  return kFields;
}

// What stands at a path, as text; null, objects and arrays do not count.
inline std::vector<std::string> at(const json& value, const std::string& path) {
  if (path.empty()) {
    if (value.is_string()) return {value.get<std::string>()};
    if (value.is_boolean()) return {value.get<bool>() ? "!true" : "!false"};
    return {};
  }
  const std::size_t end = std::min(path.find('.'), path.size());
  const std::string key = path.substr(0, end);
  const std::string rest = path.substr(std::min(end + 1, path.size()));
  std::vector<std::string> found;
  if (key == "[]" && value.is_array()) {
    for (const json& element : value) {
      for (const std::string& one : at(element, rest)) found.push_back(one);
    }
  } else if (value.is_object() && value.contains("$" + key)) {
    found = at(value.at("$" + key), rest);
  }
  return found;
}

inline std::optional<std::string> flag(const std::string& text) {
  if (text == "true" || text == "false") return text;
  const std::optional<Number> value = number(text);
  if (!value || value->negative || !value->fraction.empty()) return std::nullopt;
  if (value->whole.empty()) return "false";
  return value->whole == "1" ? std::optional<std::string>("true") : std::nullopt;
}

// The value of a field as texts, if the record has one of the field's type.
inline std::vector<std::string> values(const Field& field, Kind kind, const json& record) {
  if (field.type == Field::Kind) return {kind == Kind::Usage ? "usage" : "event"};
  for (const std::string& path : kind == Kind::Usage ? field.usage : field.event) {
    std::vector<std::string> good;
    for (const std::string& value : at(record, path)) {
      const std::string text = value.substr(1);
      const bool boolean = value.starts_with('!');
      if (field.type == Field::Text && !boolean) good.push_back(text);
      if (field.type == Field::Number && !boolean && number(text)) good.push_back(text);
      if (field.type == Field::Flag && flag(text)) good.push_back(*flag(text));
    }
    if (!good.empty()) return good;
  }
  return {};
}

inline std::string text_of(const json& operand) {
  return operand.is_string() ? operand.get<std::string>() : operand.dump();
}

inline bool equal(const Field& field, const std::string& value, const json& operand) {
  const std::string other = text_of(operand);
  if (field.type == Field::Number) return compare(*number(value), *number(other)) == 0;
  if (field.type == Field::Flag) return value == flag(other);
  return value == other;
}

inline bool matches(const Field& field, const std::string& op, const std::string& value,
                    const json& operand) {
  if (operand.is_array()) {
    return std::any_of(operand.begin(), operand.end(),
                       [&](const json& one) { return equal(field, value, one); });
  }
  if (op == "eq") return equal(field, value, operand);
  const std::string other = text_of(operand);
  if (op == "prefix") return value.starts_with(other);
  if (op == "contains") return value.find(other) != value.npos;
  const int order = compare(*number(value), *number(other));
  return op == "lt" ? order < 0 : op == "le" ? order <= 0 : op == "gt" ? order > 0 : order >= 0;
}

inline bool passes(const json& clauses, Kind kind, const json& record);

inline bool holds(const json& clause, Kind kind, const json& record) {
  const auto one_holds = [&](const json& one) { return holds(one, kind, record); };
  if (clause.contains("and")) return passes(clause["and"], kind, record);
  if (clause.contains("or")) return std::ranges::any_of(clause["or"], one_holds);
  if (clause.contains("not")) return std::ranges::none_of(clause["not"], one_holds);
  const Field& field = fields().at(clause["field"]);
  const std::string op = clause.value("op", "eq");
  const std::vector<std::string> found = values(field, kind, record);
  if (op == "exists") return found.empty() != clause["value"].get<bool>();
  const std::string positive = op == "ne" ? "eq" : op;
  const bool any = std::ranges::any_of(found, [&](const std::string& value) {
    return matches(field, positive, value, clause["value"]);
  });
  return op == "ne" ? !any : any;
}

inline bool passes(const json& clauses, Kind kind, const json& record) {
  return std::all_of(clauses.begin(), clauses.end(),
                     [&](const json& one) { return holds(one, kind, record); });
}

}  // namespace sluice::filters::slow
