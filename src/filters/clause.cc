#include "filters/clause.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <variant>

namespace sluice::filters {
namespace {

using nlohmann::json;

struct Operator {
  std::string_view name;
  Predicate predicate;
  bool negated = false;
};
constexpr std::array kOperators = {
    Operator{"eq", Predicate::In},
    Operator{"ne", Predicate::In, true},
    Operator{"in", Predicate::In},
    Operator{"lt", Predicate::Less},
    Operator{"le", Predicate::AtMost},
    Operator{"gt", Predicate::Greater},
    Operator{"ge", Predicate::AtLeast},
    Operator{"prefix", Predicate::Prefix},
    Operator{"contains", Predicate::Contains},
    Operator{"exists", Predicate::Exists},
};

struct Group {
  std::string_view name;
  Shape shape;
};
constexpr std::array kGroups = {Group{"or", Shape::Any}, Group{"and", Shape::All},
                                Group{"not", Shape::None}};

bool is_number(Type type) { return type == Type::Integer || type == Type::Decimal; }

bool takes(Type type, Predicate predicate) {
  switch (predicate) {
    case Predicate::In: return true;
    case Predicate::Less:
    case Predicate::AtMost:
    case Predicate::Greater:
    case Predicate::AtLeast: return is_number(type);
    case Predicate::Prefix:
    case Predicate::Contains: return type == Type::Text;
    case Predicate::Exists: return type != Type::Kind;
  }
  return false;
}

std::string_view operators_of(Type type) {
  switch (type) {
    case Type::Integer:
    case Type::Decimal: return "eq, ne, in, lt, le, gt, ge and exists";
    case Type::Text: return "eq, ne, in, prefix, contains and exists";
    case Type::Flag: return "eq, ne, in and exists";
    case Type::Kind: return "eq, ne and in";
  }
  return "";
}

std::string_view wanted(Type type) {
  switch (type) {
    case Type::Integer: return "must be an integer that fits 64 bits, or its string";
    case Type::Decimal: return "must be a number or its string";
    case Type::Text: return "must be a string or a number";
    case Type::Flag: return "must be true or false";
    case Type::Kind: return R"(must be "usage" or "event")";
  }
  return "";
}

using Message = std::string_view;  // what is wrong

// A string, or a number as text.
std::variant<std::string, Message> text_of(const json& value, Type type) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number()) return wanted(type);
  // The JSON parser keeps no more of a number than fits a double.
  constexpr double kExactMax = 9'007'199'254'740'992;  // 2^53
  if (value.is_number_float() && std::abs(value.get<double>()) >= kExactMax) {
    return Message("is too long for a JSON number: write it as a string");
  }
  return value.dump();
}

// Appends `value` to the operands of a field of `type`; else says what is wrong with it.
std::optional<Message> append(const json& value, Type type, Operands& operands) {
  if (type == Type::Kind) {
    if (value != "usage" && value != "event") return wanted(type);
    operands.integers.push_back(
        static_cast<std::int64_t>(value == "usage" ? Kind::Usage : Kind::Event));
    return std::nullopt;
  }
  if (type == Type::Flag) {
    const bool is_true = value == true || value == 1 || value == "true" || value == "1";
    const bool is_false = value == false || value == 0 || value == "false" || value == "0";
    if (!is_true && !is_false) return wanted(type);
    operands.integers.push_back(is_true ? 1 : 0);
    return std::nullopt;
  }
  std::variant<std::string, Message> text = text_of(value, type);
  if (const Message* const wrong = std::get_if<Message>(&text)) return *wrong;
  std::string& found = std::get<std::string>(text);
  if (is_number(type)) {
    const std::optional<Decimal> number = Decimal::parse(found);
    if (!number) return wanted(type);
    if (type == Type::Integer) {
      const std::optional<std::int64_t> integer = number->to_int64();
      if (!integer) return wanted(type);
      operands.integers.push_back(*integer);
    }
  }
  operands.texts.push_back(std::move(found));
  return std::nullopt;
}

// Once all operands are there.
void finish(Type type, Operands& operands) {
  if (is_number(type)) {
    for (const std::string& text : operands.texts) {
      operands.numbers.push_back(*Decimal::parse(text));
    }
  } else {
    std::ranges::sort(operands.texts);
  }
  std::ranges::sort(operands.integers);
  std::sort(operands.numbers.begin(), operands.numbers.end());
}

std::string_view records_of(KindSet kinds) {
  if (kinds == KindSet{Kind::Usage}) return "usage records";
  if (kinds == KindSet{Kind::Event}) return "events";
  return "this stream's records";
}

class ClauseReader {
 public:
  ClauseReader(KindSet kinds, std::vector<Fault>& faults) : kinds_(kinds), faults_(faults) {}

  void read_list(const json& list, Clause& group, std::string_view name, std::size_t depth) {
    for (std::size_t i = 0; i < list.size() && !too_many_; ++i) {
      Clause& clause = group.children.emplace_back();
      clause.name = fmt::format("{}[{}]", name, i);
      read_clause(list[i], clause, depth);
    }
  }

 private:
  void read_clause(const json& value, Clause& clause, std::size_t depth);
  void read_group(const json& list, const Group& group, Clause& clause, std::size_t depth);
  void read_test(const json& value, Clause& clause);
  bool read_field(const json& value, Clause& clause);
  void read_operands(const json& value, bool want_list, Clause& clause);

  void fault(const Clause& clause, std::string_view member, std::string message) {
    faults_.push_back({clause.name + std::string(member), std::move(message)});
  }

  const KindSet kinds_;
  std::vector<Fault>& faults_;
  std::size_t clauses_ = 0;
  bool too_many_ = false;
};

void ClauseReader::read_clause(const json& value, Clause& clause, std::size_t depth) {
  if (++clauses_ > Filter::kClausesMax) {
    too_many_ = true;
    return fault(clause, "",
                 fmt::format("is one clause too many: {} are allowed, groups included",
                             Filter::kClausesMax));
  }
  if (!value.is_object()) {
    return fault(clause, "",
                 R"(must be an object: {"field", "value"}, {"or": [...]}, )"
                 R"({"and": [...]} or {"not": [...]})");
  }
  const auto* const group =
      std::ranges::find_if(kGroups, [&](const Group& one) { return value.contains(one.name); });
  if (group == kGroups.end()) return read_test(value, clause);
  for (const auto& [key, member] : value.items()) {
    if (key != group->name) {
      fault(clause, "." + key,
            fmt::format("cannot stand beside {}: a group is alone in its clause", group->name));
    }
  }
  read_group(value.at(std::string(group->name)), *group, clause, depth + 1);
}

void ClauseReader::read_group(const json& list, const Group& group, Clause& clause,
                              std::size_t depth) {
  const std::string member = fmt::format(".{}", group.name);
  clause.shape = group.shape;
  if (!list.is_array()) return fault(clause, member, "must be a list of clauses");
  if (list.empty()) return fault(clause, member, "must not be empty");
  if (depth > Filter::kDepthMax) {
    return fault(clause, member, fmt::format("is nested deeper than {}", Filter::kDepthMax));
  }
  read_list(list, clause, clause.name + member, depth);
}

bool ClauseReader::read_field(const json& value, Clause& clause) {
  if (!value.contains("field")) {
    fault(clause, ".field", "is required");
    return false;
  }
  const json& name = value.at("field");
  if (!name.is_string()) {
    fault(clause, ".field", "must be a string");
    return false;
  }
  clause.field = find_field(name.get_ref<const std::string&>());
  if (clause.field == nullptr) {
    fault(
        clause, ".field",
        fmt::format("{:.100} is not a field: GET /api/v2/data_stream/filter_field_type lists them",
                    name.get_ref<const std::string&>()));
    return false;
  }
  for (const Kind kind : {Kind::Usage, Kind::Event}) {
    if (kinds_.contains(kind) && clause.field->is_in(kind)) return true;
  }
  fault(clause, ".field", fmt::format("{} have no {}", records_of(kinds_), clause.field->name));
  return false;
}

void ClauseReader::read_test(const json& value, Clause& clause) {
  for (const auto& [key, member] : value.items()) {
    if (key != "field" && key != "op" && key != "value") {
      fault(clause, "." + key, "is not a property of a clause");
    }
  }
  const bool field_known = read_field(value, clause);
  const bool has_value = value.contains("value");
  if (!has_value) fault(clause, ".value", "is required");

  const bool is_list = has_value && value.at("value").is_array();
  const Operator* op = &kOperators[0];
  bool want_list = is_list;
  if (value.contains("op")) {
    const json& name = value.at("op");
    op = std::ranges::find_if(kOperators, [&](const Operator& one) { return name == one.name; });
    if (op == kOperators.end()) {
      return fault(clause, ".op",
                   "must be one of eq, ne, in, lt, le, gt, ge, prefix, contains, exists");
    }
    want_list = op->name == "in";
  }
  if (!field_known) return;
  if (!takes(clause.field->type, op->predicate)) {
    return fault(clause, ".op",
                 fmt::format("{} does not fit {}, which takes {}", op->name, clause.field->name,
                             operators_of(clause.field->type)));
  }
  clause.predicate = op->predicate;
  clause.negated = op->negated;
  if (has_value) read_operands(value.at("value"), want_list, clause);
}

void ClauseReader::read_operands(const json& value, bool want_list, Clause& clause) {
  if (value.is_array() != want_list) {
    return fault(clause, ".value",
                 want_list ? "must be a list: in takes several values"
                           : "must be one value: a list goes with in, or without op");
  }
  auto operands = std::make_shared<Operands>();
  clause.operands = operands;
  if (clause.predicate == Predicate::Exists) {
    if (!value.is_boolean()) return fault(clause, ".value", "must be true or false");
    clause.negated = !value.get<bool>();
    return;
  }
  const Type type = clause.field->type;
  if (!want_list) {
    if (const auto wrong = append(value, type, *operands)) {
      return fault(clause, ".value", std::string(*wrong));
    }
    return finish(type, *operands);
  }
  if (value.empty()) return fault(clause, ".value", "must not be empty");
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (const auto wrong = append(value[i], type, *operands)) {
      return fault(clause, fmt::format(".value[{}]", i), std::string(*wrong));
    }
  }
  finish(type, *operands);
}

}  // namespace

Clause parse_clauses(const json& list, KindSet kinds, std::vector<Fault>& faults) {
  Clause all{.shape = Shape::All, .name = "filters", .children = {}, .operands = {}};
  if (!list.is_array()) {
    faults.push_back({"filters", "must be a list of clauses"});
    return all;
  }
  ClauseReader(kinds, faults).read_list(list, all, "filters", 0);
  return all;
}

}  // namespace sluice::filters
