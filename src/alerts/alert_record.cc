#include "alerts/alert_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "base/timestamp.h"
#include "catalogue/catalogue.h"

namespace sluice::alerts {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t kSourceId = 100;  // in the catalogue: Sluice
constexpr std::size_t kReasonBytesMax = 1000;

enum Severity : std::int8_t { Info = 0, Warn = 1, Critical = 2 };

Severity severity_of(AlertKind kind) {
  switch (kind) {
    case AlertKind::Error:
    case AlertKind::Failing90:
    case AlertKind::LossAhead:
    case AlertKind::AgedOut:
    case AlertKind::Damaged: return Critical;
    case AlertKind::Failing50:
    case AlertKind::Failing70:
    case AlertKind::DeadLetters:
    case AlertKind::Skipped: return Warn;
    case AlertKind::HandOver:
    case AlertKind::Recovered: break;
  }
  return Info;
}

const catalogue::Entry& type_of(AlertKind kind) {
  const auto* type = catalogue::find(catalogue::event_types(), event_type_of(kind));
  SLUICE_ASSERT(type != nullptr);
  return *type;
}

std::string description(const Told& told, const std::string& reason) {
  std::string text =
      fmt::format("{}: data stream {}", type_of(told.alert.kind).name, told.alert.stream.value());
  if (!told.stream_name.empty()) text += fmt::format(" \"{}\"", told.stream_name);
  if (told.alert.records > 0) text += fmt::format(", {} records", told.alert.records);
  if (!reason.empty()) text += ": " + reason;
  return text;
}

}  // namespace

std::int64_t record_id(const Told& told) {
  return alert_id(told.alert.stream, told.alert.kind, alert_hour(told.time));
}

// `detail` has none of the members in which filters look for networks and volumes.
std::string record_text(const Told& told) {
  const catalogue::Entry& type = type_of(told.alert.kind);
  const Severity severity = severity_of(told.alert.kind);
  const std::string reason = told.alert.reason.substr(0, kReasonBytesMax);
  const ordered_json record = {
      {"id", record_id(told)},
      {"alert", severity != Info},
      {"description", description(told, reason)},
      {"timestamp", format_timestamp(told.time.ms)},
      {"event_type", {{"id", type.id}, {"description", type.name}}},
      {"event_source",
       {{"id", kSourceId}, {"description", *catalogue::name_of(catalogue::sources(), kSourceId)}}},
      {"event_severity",
       {{"id", static_cast<int>(severity)},
        {"description", *catalogue::name_of(catalogue::severities(), severity)}}},
      {"organisation", {{"id", told.alert.organisation.value()}, {"name", told.organisation_name}}},
      {"detail",
       {{"data_stream_id", told.alert.stream.value()},
        {"data_stream_name", told.stream_name},
        {"kind", type.type_name},
        {"reason", reason},
        {"occurrences", told.occurrences},
        {"records", told.alert.records}}}};
  // What destinations say, and a cut, may be no UTF-8.
  return record.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

RecordColumns record_columns(const Told& told) {
  const Severity severity = severity_of(told.alert.kind);
  RecordColumns columns;
  columns.id = record_id(told);
  columns.time_ms = told.time.ms;
  columns.type_id = event_type_of(told.alert.kind);
  columns.severity_id = severity;
  columns.source_id = kSourceId;
  columns.alert = severity != Info ? 1 : 0;
  columns.own_alert = 1;
  return columns;
}

}  // namespace sluice::alerts
