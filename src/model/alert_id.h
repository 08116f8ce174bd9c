#pragma once
// The ids of Sluice's own events, alerts about streams. They are above every id that a platform
// gives, and say which stream, what and when: so an alert is stored once, also across restarts.

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "model/ids.h"
#include "model/record_columns.h"

namespace sluice {

// Values are written to disk and, beyond kAlertTypesFrom, the event types in the catalogue: never
// change, never reuse.
enum class AlertKind : std::uint8_t {
  Error = 1,
  Failing50 = 2,  // so much of delivery.error_after_s is over
  Failing70 = 3,
  Failing90 = 4,
  LossAhead = 5,
  DeadLetters = 6,
  AgedOut = 7,
  Damaged = 8,
  Skipped = 9,
  HandOver = 10,
  Recovered = 11,
};
inline constexpr std::int32_t kAlertTypesFrom = 10'000;  // not one itself
constexpr std::int32_t event_type_of(AlertKind kind) {
  return kAlertTypesFrom + static_cast<std::int32_t>(kind);
}

inline constexpr std::int64_t kAlertIdsFrom = std::int64_t{1} << 62;
inline constexpr int kAlertHourBits = 21;  // until the year 2209
inline constexpr int kAlertKindBits = 5;
inline constexpr int kAlertStreamBits = 62 - kAlertHourBits - kAlertKindBits;

constexpr std::int64_t alert_hour(WallTime time) { return time.ms / 3'600'000; }

// `hour` as alert_hour() has it.
constexpr std::int64_t alert_id(StreamId stream, AlertKind kind, std::int64_t hour) {
  constexpr std::uint64_t kStreams = (std::uint64_t{1} << kAlertStreamBits) - 1;
  constexpr std::int64_t kHours = (std::int64_t{1} << kAlertHourBits) - 1;
  const auto of_stream = static_cast<std::int64_t>(stream.value() & kStreams);
  const auto of_kind = static_cast<std::int64_t>(kind);
  return kAlertIdsFrom + (((of_stream << kAlertKindBits) + of_kind) << kAlertHourBits) +
         (hour & kHours);
}

// Whether the record is an alert of ours about the stream; what others send in never is.
constexpr bool is_alert_about(const RecordColumns& record, StreamId stream) {
  if (record.own_alert == 0) return false;
  constexpr int kBelow = kAlertKindBits + kAlertHourBits;
  return (record.id - kAlertIdsFrom) >> kBelow ==
         (alert_id(stream, AlertKind::Error, 0) - kAlertIdsFrom) >> kBelow;
}

}  // namespace sluice
