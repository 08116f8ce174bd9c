#include "api/sample_record.h"

#include <nlohmann/json.hpp>

#include "api/json_text.h"
#include "api/stream_json.h"
#include "base/assert.h"

namespace sluice::api {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t kHourMs = 3'600'000;

// Numbers from the ranges that are kept for tests.
ordered_json sample_endpoint() {
  return {{"id", 0}, {"name", "Sluice test"}, {"ip_address", "192.0.2.1"}, {"tags", "test"}};
}
ordered_json sample_sim() { return {{"id", 0}, {"iccid", "8988300000000000000"}}; }

ordered_json sample_operator() {
  return {{"id", 0},
          {"name", "Test network"},
          {"mnc", "01"},
          {"country", {{"id", 0}, {"name", "Test"}, {"mcc", "001"}}}};
}

ordered_json sample_event(const ordered_json& organisation, WallTime now) {
  return {{"id", 0},
          {"alert", false},
          {"description", "Test of a data stream: no event of a device"},
          {"timestamp", rfc3339(now)},
          {"event_type", {{"id", 1}, {"description", "Update location"}}},
          {"event_source", {{"id", 0}, {"description", "Network"}}},
          {"event_severity", {{"id", 0}, {"description", "Info"}}},
          {"organisation", organisation},
          {"endpoint", sample_endpoint()},
          {"imsi", {{"id", 0}, {"imsi", "001010000000000"}}},
          {"sim", sample_sim()},
          {"detail", sample_operator()}};
}

ordered_json sample_usage(const ordered_json& organisation, WallTime now) {
  return {{"id", 0},
          {"cost", 0},
          {"currency", {{"id", 1}, {"code", "EUR"}, {"symbol", "\u20ac"}}},
          {"start_timestamp", rfc3339(WallTime{now.ms - kHourMs})},
          {"end_timestamp", rfc3339(now)},
          {"volume", {{"total", 0.0}, {"rx", 0.0}, {"tx", 0.0}}},
          {"imsi", "001010000000000"},
          {"endpoint", sample_endpoint()},
          {"sim", sample_sim()},
          {"organisation", organisation},
          {"operator", sample_operator()},
          {"traffic_type", {{"id", 5}, {"description", "Data"}}}};
}

}  // namespace

std::string sample_record(Kind kind, const catalog::Organisation& organisation, WallTime now) {
  SLUICE_ASSERT(kind == Kind::Usage || kind == Kind::Event);
  const ordered_json owner = {{"id", organisation.id.value()}, {"name", organisation.name}};
  return to_text(kind == Kind::Usage ? sample_usage(owner, now) : sample_event(owner, now));
}

}  // namespace sluice::api
