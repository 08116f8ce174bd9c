#pragma once
// An alert as an event record.

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "dispatch/alerts.h"
#include "model/record_columns.h"

namespace sluice::alerts {

struct Told {
  dispatch::Alert alert;          // the newest; `records` of all
  std::uint64_t occurrences = 0;  // since the one before
  WallTime time;                  // now
  std::string stream_name = {};   // "" = none
  std::string organisation_name = {};
};

std::int64_t record_id(const Told& told);
// A valid event (docs: records.md), one line.
std::string record_text(const Told& told);
RecordColumns record_columns(const Told& told);

}  // namespace sluice::alerts
