#pragma once
// What the .cc files of this folder share about rows.

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "catalog/catalog.h"
#include "catalog/sqlite/database.h"

namespace sluice::catalog {

// Ids above kIdMax belong to nobody: a negative id finds nothing.
template <class Id>
std::int64_t sql_id(Id id) {
  return static_cast<std::int64_t>(id.value());
}

// NULL for nothing.
template <class Id>
std::optional<std::int64_t> sql_or_null(const std::optional<Id>& id) {
  return id ? std::optional(sql_id(*id)) : std::nullopt;
}
template <class Id>
std::optional<Id> optional_id(const Statement& row, int column) {
  const std::optional<std::int64_t> value = row.optional_integer(column);
  return value ? std::optional(Id{static_cast<std::uint64_t>(*value)}) : std::nullopt;
}

inline constexpr std::string_view kOrganisationColumns = "id, name, company_id, project";

inline Organisation organisation_of(const Statement& row) {
  return {OrganisationId{static_cast<std::uint64_t>(row.integer(0))}, row.text(1), row.text(2),
          row.text(3)};
}

inline Error no_such_organisation(OrganisationId id) {
  return {ErrorCode::NotFound, fmt::format("organisation {} does not exist", id.value())};
}

inline Error id_too_large(OrganisationId id) {
  return {ErrorCode::InvalidArgument,
          fmt::format("organisation {}: ids go up to {}", id.value(), kIdMax)};
}

// Each row that `query` finds, made into a value by `make`.
template <class T>
Result<std::vector<T>> read_rows(Result<Statement> query, T (*make)(const Statement&)) {
  if (!query) return query.error();
  std::vector<T> found;
  for (;;) {
    const Result<bool> row = query->step();
    if (!row) return row.error();
    if (!*row) return found;
    found.push_back(make(*query));
  }
}

}  // namespace sluice::catalog
