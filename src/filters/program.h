#pragma once
// What is left of a filter for the records of one kind.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "filters/clause.h"
#include "filters/filter.h"

namespace sluice::filters {

struct Test {
  Predicate predicate;
  bool negated;
  Type type;
  Column column;
  // What it comes to when the column has no value; nullopt: the record's bytes decide.
  std::optional<bool> without_column;
  std::shared_ptr<const Operands> operands;  // shared with the other kind's program
  std::vector<std::uint8_t> slots;           // where its values are, in the order of Places

  // Whatever the columns hold, it never asks for the bytes.
  bool column_suffices() const { return column != Column::None && without_column.has_value(); }
};

struct Node {
  Shape shape;
  std::uint32_t end;   // the index behind its last descendant; nodes lie in pre-order
  std::uint32_t test;  // of a test
};

// A property of a record that is needed, or that holds one. Values go to slots.
struct Property {
  std::string key;
  std::optional<std::uint8_t> slot;           // takes the value itself
  std::optional<std::uint8_t> elements_slot;  // takes `elements_key` of each object in the array
  std::string elements_key;
  std::vector<Property> members;
};

struct Program {
  std::optional<bool> verdict;  // on each record of the kind; nullopt: `nodes` tell
  std::vector<Node> nodes;      // the first is the root
  std::vector<Test> tests;
  Property record;
  std::uint8_t slots = 0;

  bool columns_suffice() const;
};

// `kind` is Usage or Event.
Program make_program(const Clause& all, Kind kind);

class CompiledFilter final : public Filter {
 public:
  CompiledFilter(const Clause& all, KindSet kinds);
  bool passes_all() const override { return passes_all_; }
  bool columns_suffice() const override { return columns_suffice_; }
  // Null for kinds that the filter was not compiled for.
  const Program* program(Kind kind) const;

 private:
  std::optional<Program> usage_;
  std::optional<Program> event_;
  bool passes_all_ = true;
  bool columns_suffice_ = true;
};

}  // namespace sluice::filters
