#include "filters/program.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/assert.h"

namespace sluice::filters {
namespace {

// What an event or usage record without a usable column value makes of a test; nullopt: only its
// bytes can tell.
std::optional<bool> without_column(const Clause& clause) {
  // A valid record has such a field, as an integer too small or too large for the column.
  const std::optional<std::int64_t> column_max = clause.field->required_max;
  if (!column_max) return std::nullopt;
  if (clause.predicate == Predicate::Exists) return !clause.negated;
  if (clause.predicate != Predicate::In) return std::nullopt;
  const bool all_fit = std::ranges::all_of(
      clause.operands->integers, [&](std::int64_t one) { return one >= 0 && one <= *column_max; });
  return all_fit ? std::optional(clause.negated) : std::nullopt;
}

// What a test comes to for all records of a kind; nullopt: it depends on the record.
std::optional<bool> constant(const Clause& clause, Kind kind) {
  const FieldRow& field = *clause.field;
  if (field.type == Type::Kind) {
    const bool named =
        std::ranges::binary_search(clause.operands->integers, static_cast<std::int64_t>(kind));
    return named != clause.negated;
  }
  if (!field.is_in(kind)) return clause.negated;
  const bool required = field.required_max.has_value();
  if (required && clause.predicate == Predicate::Exists) return !clause.negated;
  return std::nullopt;
}

bool looks_at_bytes(const Clause& clause, Kind kind) {
  if (clause.shape == Shape::Test) {
    return !constant(clause, kind) && clause.field->column == Column::None;
  }
  return std::ranges::any_of(clause.children,
                             [&](const Clause& child) { return looks_at_bytes(child, kind); });
}

class ProgramMaker {
 public:
  explicit ProgramMaker(Kind kind) : kind_(kind) {}

  Program make(const Clause& all) {
    program_.verdict = append(all);
    return std::move(program_);
  }

 private:
  // Appends what of `clause` depends on the record; a value: nothing does.
  std::optional<bool> append(const Clause& clause);
  std::optional<bool> append_group(const Clause& clause);
  void append_test(const Clause& clause);
  std::uint8_t slot_of(std::string_view place);
  static Property& member(Property& object, std::string_view key);

  const Kind kind_;
  Program program_;
};

std::optional<bool> ProgramMaker::append(const Clause& clause) {
  if (clause.shape != Shape::Test) return append_group(clause);
  const std::optional<bool> value = constant(clause, kind_);
  if (!value) append_test(clause);
  return value;
}

std::optional<bool> ProgramMaker::append_group(const Clause& clause) {
  const std::size_t begin = program_.nodes.size();
  program_.nodes.push_back({clause.shape, 0, 0});
  // The value of a child that settles the group, and what the group then is. Where none does, it
  // is the opposite.
  const bool settling = clause.shape != Shape::All;
  const bool settled = clause.shape == Shape::Any;
  // What the columns can settle comes first.
  for (const bool with_bytes : {false, true}) {
    for (const Clause& child : clause.children) {
      if (looks_at_bytes(child, kind_) != with_bytes) continue;
      if (append(child) == settling) {
        program_.nodes.resize(begin);
        return settled;
      }
    }
  }
  if (program_.nodes.size() == begin + 1) {
    program_.nodes.resize(begin);
    return !settled;
  }
  program_.nodes[begin].end = static_cast<std::uint32_t>(program_.nodes.size());
  return std::nullopt;
}

void ProgramMaker::append_test(const Clause& clause) {
  const FieldRow& field = *clause.field;
  Test test{clause.predicate,       clause.negated,  field.type, field.column,
            without_column(clause), clause.operands, {}};
  for (const std::string_view place : field.places(kind_)) {
    if (!place.empty()) test.slots.push_back(slot_of(place));
  }
  const auto end = static_cast<std::uint32_t>(program_.nodes.size() + 1);
  program_.nodes.push_back({Shape::Test, end, static_cast<std::uint32_t>(program_.tests.size())});
  program_.tests.push_back(std::move(test));
}

Property& ProgramMaker::member(Property& object, std::string_view key) {
  const auto found = std::ranges::find(object.members, key, &Property::key);
  if (found != object.members.end()) return *found;
  Property& added = object.members.emplace_back();
  added.key = key;
  return added;
}

std::uint8_t ProgramMaker::slot_of(std::string_view place) {
  Property* property = &program_.record;
  for (;;) {
    const std::size_t end = std::min(place.find('.'), place.size());
    std::string_view key = place.substr(0, end);
    place.remove_prefix(std::min(end + 1, place.size()));
    const bool elements = key.ends_with("[]");
    if (elements) key.remove_suffix(2);
    property = &member(*property, key);
    if (elements) property->elements_key = place;
    if (!elements && !place.empty()) continue;
    std::optional<std::uint8_t>& slot = elements ? property->elements_slot : property->slot;
    if (!slot) slot = program_.slots++;
    return *slot;
  }
}

}  // namespace

bool Program::columns_suffice() const {
  if (verdict) return true;
  return std::ranges::all_of(nodes, [&](const Node& node) {
    return node.shape != Shape::Test || tests[node.test].column_suffices();
  });
}

Program make_program(const Clause& all, Kind kind) { return ProgramMaker(kind).make(all); }

CompiledFilter::CompiledFilter(const Clause& all, KindSet kinds) {
  const auto compile = [&](Kind kind, std::optional<Program>& program) {
    if (!kinds.contains(kind)) return;
    program = make_program(all, kind);
    passes_all_ = passes_all_ && program->verdict == true;
    columns_suffice_ = columns_suffice_ && program->columns_suffice();
  };
  compile(Kind::Usage, usage_);
  compile(Kind::Event, event_);
}

const Program* CompiledFilter::program(Kind kind) const {
  const std::optional<Program>* const found = kind == Kind::Usage   ? &usage_
                                              : kind == Kind::Event ? &event_
                                                                    : nullptr;
  return found != nullptr && *found ? &**found : nullptr;
}

}  // namespace sluice::filters
