#pragma once
#include <cstdint>
#include <limits>

namespace sluice {

// What the log keeps beside a record's bytes: what filters, formats and look-ups need without
// parsing. Lies on disk exactly so, little-endian, as column schema 1 (docs/formats/segment.md):
// a changed member is a new schema version.
struct RecordColumns {
  static constexpr std::int64_t kAbsent = std::numeric_limits<std::int64_t>::min();

  std::int64_t id = kAbsent;           // the record's own `id`
  std::int64_t time_ms = 0;            // event: timestamp; usage: end_timestamp, else start_
  std::int64_t endpoint_id = kAbsent;  // endpoint.id, where it is an integer
  std::int32_t type_id = -1;           // event: event_type.id; usage: traffic_type.id; else -1
  std::int8_t severity_id = -1;        // event_severity.id in 0..127, else -1
  std::int8_t source_id = -1;          // event_source.id in 0..127, else -1
  std::int8_t alert = -1;              // 0, 1; -1: absent or of another type
  std::int8_t own_alert = 0;           // 1: an event of Sluice's own, its id is an alert_id()
  friend bool operator==(const RecordColumns&, const RecordColumns&) = default;
};
static_assert(sizeof(RecordColumns) == 32);

}  // namespace sluice
