#include <simdjson.h>

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "filters/filter.h"
#include "filters/program.h"

namespace sluice::filters {
namespace {

namespace ondemand = simdjson::ondemand;

// A value in a record that is neither null nor an object or array.
struct Scalar {
  enum class Form : std::uint8_t { String, Number, Boolean };
  Form form;
  std::string_view text;  // the string's content; the number's digits; true or false
};

std::optional<std::int64_t> flag_of(const Scalar& value) {
  if (value.text == "true") return 1;
  if (value.text == "false") return 0;
  const std::optional<Decimal> number = Decimal::parse(value.text);
  const std::optional<std::int64_t> integer = number ? number->to_int64() : std::nullopt;
  return integer == 0 || integer == 1 ? integer : std::nullopt;
}

// `wanted` is sorted, and holds one value for the predicates that order.
template <class Value>
bool holds(Predicate predicate, const std::vector<Value>& wanted, const Value& value) {
  switch (predicate) {
    case Predicate::In: return std::binary_search(wanted.begin(), wanted.end(), value);
    case Predicate::Less: return value < wanted[0];
    case Predicate::AtMost: return value <= wanted[0];
    case Predicate::Greater: return value > wanted[0];
    case Predicate::AtLeast: return value >= wanted[0];
    case Predicate::Exists: return true;
    case Predicate::Prefix:
    case Predicate::Contains: break;
  }
  return false;
}

bool holds_text(Predicate predicate, const std::vector<std::string>& wanted,
                std::string_view value) {
  switch (predicate) {
    case Predicate::Prefix: return value.starts_with(wanted[0]);
    case Predicate::Contains: return value.find(wanted[0]) != value.npos;
    case Predicate::Exists: return true;
    default: return std::binary_search(wanted.begin(), wanted.end(), value, std::less<>());
  }
}

// Nullopt: the field cannot have such a value, so it counts as missing.
std::optional<bool> holds_scalar(const Test& test, const Scalar& value) {
  const Operands& operands = *test.operands;
  switch (test.type) {
    case Type::Integer:
    case Type::Decimal: {
      if (value.form == Scalar::Form::Boolean) return std::nullopt;
      const std::optional<Decimal> number = Decimal::parse(value.text);
      if (!number) return std::nullopt;
      return holds(test.predicate, operands.numbers, *number);
    }
    case Type::Text:
      if (value.form == Scalar::Form::Boolean) return std::nullopt;
      return holds_text(test.predicate, operands.texts, value.text);
    case Type::Flag: {
      const std::optional<std::int64_t> flag = flag_of(value);
      if (!flag) return std::nullopt;
      return holds(test.predicate, operands.integers, *flag);
    }
    case Type::Kind: break;  // settled when the program was made
  }
  return std::nullopt;
}

// The values that a program needs of one record.
class Extractor {
 public:
  // `record` is copied; the values stay until the next call. What is not valid JSON has no values.
  void extract(const Program& program, std::string_view record);
  const std::vector<Scalar>& values(std::uint8_t slot) const { return slots_[slot]; }

 private:
  using Failed = bool;  // the text is not valid: give up

  Failed take_members(ondemand::object object, const Property& wanted);
  Failed take(ondemand::value value, const Property& property);
  Failed take_elements(ondemand::array elements, const Property& property);
  void forget(const Property& property);

  static std::optional<Scalar> scalar_of(ondemand::value value, ondemand::json_type type);

  ondemand::parser parser_;
  std::vector<char> padded_;
  std::vector<std::vector<Scalar>> slots_;
};

void Extractor::extract(const Program& program, std::string_view record) {
  if (slots_.size() < program.slots) slots_.resize(program.slots);
  for (std::vector<Scalar>& values : slots_) values.clear();
  const std::size_t capacity = record.size() + simdjson::SIMDJSON_PADDING;
  if (padded_.size() < capacity) padded_.resize(capacity);
  std::ranges::copy(record, padded_.begin());
  ondemand::document document;
  ondemand::object object;
  const bool is_object =
      parser_.iterate(padded_.data(), record.size(), capacity).get(document) == simdjson::SUCCESS &&
      document.get_object().get(object) == simdjson::SUCCESS;
  if (is_object && !take_members(object, program.record)) return;
  for (std::vector<Scalar>& values : slots_) values.clear();
}

Extractor::Failed Extractor::take_members(ondemand::object object, const Property& wanted) {
  for (simdjson::simdjson_result<ondemand::field> next : object) {
    ondemand::field field;
    std::string_view key;
    if (std::move(next).get(field) != simdjson::SUCCESS) return true;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return true;
    const auto found = std::ranges::find(wanted.members, key, &Property::key);
    if (found == wanted.members.end()) continue;
    forget(*found);  // of duplicate keys the last counts
    if (take(field.value(), *found)) return true;
  }
  return false;
}

Extractor::Failed Extractor::take(ondemand::value value, const Property& property) {
  ondemand::json_type type;
  if (value.type().get(type) != simdjson::SUCCESS) return true;
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    return value.get_object().get(object) != simdjson::SUCCESS || take_members(object, property);
  }
  if (type == ondemand::json_type::array) {
    ondemand::array elements;
    if (!property.elements_slot) return false;
    return value.get_array().get(elements) != simdjson::SUCCESS ||
           take_elements(elements, property);
  }
  if (property.slot) {
    if (const auto scalar = scalar_of(value, type)) slots_[*property.slot].push_back(*scalar);
  }
  return false;
}

Extractor::Failed Extractor::take_elements(ondemand::array elements, const Property& property) {
  for (simdjson::simdjson_result<ondemand::value> next : elements) {
    ondemand::value element;
    ondemand::json_type type;
    ondemand::object object;
    if (std::move(next).get(element) != simdjson::SUCCESS) return true;
    if (element.type().get(type) != simdjson::SUCCESS) return true;
    if (type != ondemand::json_type::object) continue;
    if (element.get_object().get(object) != simdjson::SUCCESS) return true;
    std::optional<Scalar> last;
    for (simdjson::simdjson_result<ondemand::field> member : object) {
      ondemand::field field;
      std::string_view key;
      if (std::move(member).get(field) != simdjson::SUCCESS) return true;
      if (field.unescaped_key().get(key) != simdjson::SUCCESS) return true;
      if (key != property.elements_key) continue;
      if (field.value().type().get(type) != simdjson::SUCCESS) return true;
      last = scalar_of(field.value(), type);
    }
    if (last) slots_[*property.elements_slot].push_back(*last);
  }
  return false;
}

void Extractor::forget(const Property& property) {
  if (property.slot) slots_[*property.slot].clear();
  if (property.elements_slot) slots_[*property.elements_slot].clear();
  for (const Property& member : property.members) forget(member);
}

std::optional<Scalar> Extractor::scalar_of(ondemand::value value, ondemand::json_type type) {
  std::string_view text;
  bool flag = false;
  switch (type) {
    case ondemand::json_type::string:
      if (value.get_string().get(text) != simdjson::SUCCESS) break;
      return Scalar{Scalar::Form::String, text};
    case ondemand::json_type::number:
      text = value.raw_json_token();
      text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
      return Scalar{Scalar::Form::Number, text};
    case ondemand::json_type::boolean:
      if (value.get_bool().get(flag) != simdjson::SUCCESS) break;
      return Scalar{Scalar::Form::Boolean, flag ? "true" : "false"};
    default: break;
  }
  return std::nullopt;
}

}  // namespace

struct Evaluator::Impl {
  bool passes(const Program& program, std::uint32_t at);
  bool passes_test(const Program& program, const Test& test);
  bool holds_in_bytes(const Test& test) const;

  Extractor extractor;

  // The record under evaluation.
  const RecordColumns* columns = nullptr;
  std::string_view record;
  bool extracted = false;
};

bool Evaluator::Impl::passes(const Program& program, std::uint32_t at) {
  const Node& node = program.nodes[at];
  if (node.shape == Shape::Test) return passes_test(program, program.tests[node.test]);
  const bool settling = node.shape != Shape::All;
  const bool settled = node.shape == Shape::Any;
  for (std::uint32_t child = at + 1; child < node.end; child = program.nodes[child].end) {
    if (passes(program, child) == settling) return settled;
  }
  return !settled;
}

bool Evaluator::Impl::passes_test(const Program& program, const Test& test) {
  if (test.column != Column::None) {
    if (const auto value = value_of(test.column, *columns)) {
      return holds(test.predicate, test.operands->integers, *value) != test.negated;
    }
    if (test.without_column) return *test.without_column;
  }
  if (!extracted) {
    extractor.extract(program, record);
    extracted = true;
  }
  return holds_in_bytes(test) != test.negated;
}

bool Evaluator::Impl::holds_in_bytes(const Test& test) const {
  for (const std::uint8_t slot : test.slots) {
    bool there = false;
    for (const Scalar& value : extractor.values(slot)) {
      const std::optional<bool> held = holds_scalar(test, value);
      if (held == true) return true;
      there = there || held.has_value();
    }
    if (there) return false;
  }
  return false;  // missing
}

Evaluator::Evaluator() : impl_(std::make_unique<Impl>()) {}
Evaluator::~Evaluator() = default;

bool Evaluator::passes(const Filter& filter, Kind kind, const RecordColumns& columns,
                       std::string_view record) {
  const Program* const program = static_cast<const CompiledFilter&>(filter).program(kind);
  if (program == nullptr) return filter.passes_all();
  if (program->verdict) return *program->verdict;
  impl_->columns = &columns;
  impl_->record = record;
  impl_->extracted = false;
  return impl_->passes(*program, 0);
}

}  // namespace sluice::filters
