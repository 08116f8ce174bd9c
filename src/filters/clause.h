#pragma once
// A filter's clauses as they were written, checked.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "filters/decimal.h"
#include "filters/field_table.h"
#include "filters/filter.h"

namespace sluice::filters {

enum class Predicate : std::uint8_t {
  In,  // one of the values
  Less,
  AtMost,
  Greater,
  AtLeast,
  Prefix,
  Contains,
  Exists,
};

// What a clause compares with, by the field's type. Sorted.
struct Operands {
  std::vector<std::int64_t> integers;  // Integer; Flag and Kind: 0 or 1, the Kind's value
  std::vector<std::string> texts;      // Text; Integer and Decimal: the numbers
  std::vector<Decimal> numbers;        // Integer and Decimal, into `texts`

  Operands() = default;
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;
};

enum class Shape : std::uint8_t { Test, All, Any, None };

struct Clause {
  Shape shape = Shape::Test;
  std::string name;  // "filters[1].or[0]"

  std::vector<Clause> children;  // of a group

  const FieldRow* field = nullptr;  // of a test
  Predicate predicate = Predicate::In;
  bool negated = false;  // `ne`, and `exists` with false
  std::shared_ptr<const Operands> operands;
};

// The whole list as one clause that wants All. What cannot be read adds to `faults`.
Clause parse_clauses(const nlohmann::json& list, KindSet kinds, std::vector<Fault>& faults);

}  // namespace sluice::filters
