#pragma once
// Usage records as metrics, events as logs. Pure.
// https://docs.datadoghq.com/api/latest/metrics/#submit-metrics
// https://docs.datadoghq.com/api/latest/logs/#send-logs

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "connectors/common/service_call.h"
#include "connectors/connector.h"

namespace sluice::connectors::datadog {

// The intakes' limits, as their pages above state them.
inline constexpr std::uint64_t kSeriesBytesMax = 5'242'880;  // unpacked
inline constexpr std::uint64_t kSeriesPackedBytesMax = 512'000;
inline constexpr std::uint64_t kLogsBytesMax = 5'000'000;  // unpacked
inline constexpr std::uint32_t kLogsMax = 1000;            // a request
// What is older is taken, and dropped.
inline constexpr std::int64_t kOldestPointMs = 3'600'000;  // unless `historical`
inline constexpr std::int64_t kOldestLogMs = 18 * kOldestPointMs;

struct Options {
  std::vector<std::string> tags = {};
  bool events_as_logs = false;
  bool historical = false;
};

struct Payload {
  std::string series;         // "" = no point
  std::string logs;           // "" = none
  std::uint32_t skipped = 0;  // records that nothing is made of
  // The first that the service would lose, as too old, and those that follow it; what lies behind
  // them is in no payload.
  std::optional<std::uint32_t> too_old;
  std::uint32_t too_old_count = 0;
};

// Points of one series and second are summed: the service keeps only the last of them.
Payload payload_of(const RecordBatch& batch, const Options& options, WallTime now);

ServiceError read_error(const egress::HttpResponse& response);

// "env:prod, team:fleet" -> both; empty ones are left out.
std::vector<std::string> split_tags(std::string_view text);

}  // namespace sluice::connectors::datadog
