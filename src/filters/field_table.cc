#include "filters/field_table.h"

#include <algorithm>
#include <limits>

#include "filters/filter.h"

namespace sluice::filters {
namespace {

constexpr Places kNowhere = {};

constexpr Places at(std::string_view first, std::string_view second = {}) {
  return {first, second};
}

constexpr std::array kRows = {
    FieldRow{"event_type_id", Type::Integer, kNowhere, at("event_type.id"), Column::TypeId,
             std::numeric_limits<std::int32_t>::max()},
    FieldRow{"alert", Type::Flag, kNowhere, at("alert"), Column::Alert},
    FieldRow{"event_severity_id", Type::Integer, kNowhere, at("event_severity.id"),
             Column::SeverityId},
    FieldRow{"event_source_id", Type::Integer, kNowhere, at("event_source.id"), Column::SourceId},
    FieldRow{"description", Type::Text, kNowhere, at("description")},
    FieldRow{"endpoint_id", Type::Integer, at("endpoint.id"), at("endpoint.id"),
             Column::EndpointId},
    FieldRow{"endpoint_name", Type::Text, at("endpoint.name"), at("endpoint.name")},
    FieldRow{"endpoint_tags", Type::Text, at("endpoint.tags"), at("endpoint.tags")},
    FieldRow{"endpoint_ip_address", Type::Text,
             at("endpoint.ip_address", "detail.pdp_context.ue_ip_address"),
             at("endpoint.ip_address", "detail.pdp_context.ue_ip_address")},
    FieldRow{"imei", Type::Text, at("endpoint.imei"), at("endpoint.imei")},
    FieldRow{"imsi", Type::Text, at("imsi"), at("imsi.imsi")},
    FieldRow{"iccid", Type::Text, at("sim.iccid"), at("sim.iccid")},
    FieldRow{"msisdn", Type::Text, at("sim.msisdn"), at("sim.msisdn")},
    FieldRow{"sim_id", Type::Integer, at("sim.id"), at("sim.id")},
    FieldRow{"operator_id", Type::Integer, at("operator.id"), at("detail.id")},
    FieldRow{"country_id", Type::Integer, at("operator.country.id"), at("detail.country.id")},
    FieldRow{"country_iso_code", Type::Text, at("operator.country.iso_code"),
             at("detail.country.iso_code")},
    FieldRow{"mcc", Type::Text, at("operator.country.mcc"),
             at("detail.country.mcc", "detail.pdp_context.mcc")},
    FieldRow{"mnc", Type::Text, at("operator.mnc"),
             at("detail.pdp_context.mnc", "detail.mnc[].mnc")},
    FieldRow{"apn", Type::Text, at("detail.pdp_context.apn"), at("detail.pdp_context.apn")},
    FieldRow{"rat_type", Type::Integer, at("detail.pdp_context.rat_type"),
             at("detail.pdp_context.rat_type")},
    FieldRow{"traffic_type_id", Type::Integer, at("traffic_type.id"), kNowhere, Column::TypeId},
    FieldRow{"tariff_id", Type::Integer, at("tariff.id"), kNowhere},
    FieldRow{"ratezone_id", Type::Integer, at("tariff.ratezone.id"), kNowhere},
    FieldRow{"volume_total", Type::Decimal, at("volume.total"), at("detail.volume.total")},
    FieldRow{"volume_rx", Type::Decimal, at("volume.rx"), at("detail.volume.rx")},
    FieldRow{"volume_tx", Type::Decimal, at("volume.tx"), at("detail.volume.tx")},
    FieldRow{"cost", Type::Decimal, at("cost"), kNowhere},
    FieldRow{"kind", Type::Kind, kNowhere, kNowhere},
};

constexpr auto make_fields() {
  std::array<Field, kRows.size()> fields{};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    fields[i] = {static_cast<std::uint32_t>(i + 1), kRows[i].name};
  }
  return fields;
}
constexpr auto kFields = make_fields();

// A column's value, unless it is the mark of an absent one.
template <class Int>
std::optional<std::int64_t> unless(Int absent, Int value) {
  return value == absent ? std::nullopt : std::optional<std::int64_t>(value);
}

}  // namespace

std::optional<std::int64_t> value_of(Column column, const RecordColumns& columns) {
  switch (column) {
    case Column::None: break;
    case Column::TypeId: return unless(-1, columns.type_id);
    case Column::SeverityId: return unless(std::int8_t{-1}, columns.severity_id);
    case Column::SourceId: return unless(std::int8_t{-1}, columns.source_id);
    case Column::Alert: return unless(std::int8_t{-1}, columns.alert);
    case Column::EndpointId: return unless(RecordColumns::kAbsent, columns.endpoint_id);
  }
  return std::nullopt;
}

std::span<const FieldRow> field_rows() { return kRows; }

const FieldRow* find_field(std::string_view name) {
  const auto* const found = std::ranges::find(kRows, name, &FieldRow::name);
  return found == kRows.end() ? nullptr : found;
}

std::span<const Field> fields() { return kFields; }

}  // namespace sluice::filters
