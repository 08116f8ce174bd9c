#include "filters/filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "filters/clause.h"
#include "filters/program.h"

namespace sluice::filters {
namespace {

bool names_kind(const Clause& clause) {
  if (clause.shape == Shape::Test) return clause.field->type == Type::Kind;
  return std::ranges::any_of(clause.children, names_kind);
}

// The innermost clause that alone keeps every record of `kind` from passing.
const Clause& culprit(const Clause& clause, Kind kind) {
  if (clause.shape != Shape::All) return clause;
  for (const Clause& child : clause.children) {
    Clause alone{.shape = Shape::All, .name = {}, .children = {child}, .operands = {}};
    if (make_program(alone, kind).verdict == false) return culprit(child, kind);
  }
  return clause;
}

std::optional<Fault> never_passes(const Clause& all, Kind kind) {
  if (make_program(all, kind).verdict != false) return std::nullopt;
  const Clause& clause = culprit(all, kind);
  const bool is_usage = kind == Kind::Usage;
  return Fault{clause.shape == Shape::Test ? clause.name + ".field" : clause.name,
               fmt::format("keeps back every {}: if that is meant, say so with "
                           R"({{"field": "kind", "value": "{}"}}, else let the others pass with )"
                           R"({{"or": [..., {{"field": "kind", "value": "{}"}}]}})",
                           is_usage ? "usage record" : "event", is_usage ? "event" : "usage",
                           is_usage ? "usage" : "event")};
}

}  // namespace

std::variant<std::shared_ptr<const Filter>, std::vector<Fault>> Filter::compile(
    const nlohmann::json& clauses, KindSet kinds) {
  std::vector<Fault> faults;
  const Clause all = parse_clauses(clauses, kinds, faults);
  if (!faults.empty()) return faults;
  if (!names_kind(all)) {
    for (const Kind kind : {Kind::Usage, Kind::Event}) {
      if (!kinds.contains(kind)) continue;
      if (const std::optional<Fault> fault = never_passes(all, kind)) {
        return std::vector<Fault>{*fault};
      }
    }
  }
  return std::make_shared<CompiledFilter>(all, kinds);
}

}  // namespace sluice::filters
