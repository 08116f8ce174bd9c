#pragma once
// The one table of what filters know: names, types, and where a record holds each field.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "model/kind.h"
#include "model/record_columns.h"

namespace sluice::filters {

enum class Type : std::uint8_t {
  Integer,  // in a record as a number or its string
  Decimal,  // likewise
  Text,     // in a record as a string or a number
  Flag,     // true or false, 1 or 0, or one of these as a string
  Kind,     // of the record itself
};

enum class Column : std::uint8_t { None, TypeId, SeverityId, SourceId, Alert, EndpointId };

// Nullopt: the record's bytes must tell whether there is a value.
std::optional<std::int64_t> value_of(Column column, const RecordColumns& columns);

// Where to look, in this order, for the first value of the field's type. "a.b" is member b of
// object a; "a[].b" is member b of each object in array a: several values.
using Places = std::array<std::string_view, 2>;

struct FieldRow {
  std::string_view name;
  Type type;
  Places usage;  // empty: usage records do not have it
  Places event;
  Column column = Column::None;
  // Integers from 0 to this fit the column, and every valid record has an integer.
  std::optional<std::int64_t> required_max = {};

  bool is_in(Kind kind) const {
    if (kind != Kind::Usage && kind != Kind::Event) return false;
    return type == Type::Kind || !places(kind)[0].empty();
  }
  const Places& places(Kind kind) const { return kind == Kind::Usage ? usage : event; }
};

// A row's field id is its index + 1: append, never reorder. Filters know usage records and events.
std::span<const FieldRow> field_rows();
const FieldRow* find_field(std::string_view name);  // null: no such field

}  // namespace sluice::filters
