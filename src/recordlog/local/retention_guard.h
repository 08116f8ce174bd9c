#pragma once
// Whether the wall clock can be trusted enough to delete by it.

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace sluice::recordlog {

// A forward step of over an hour against the steady clock, or a start more than
// the retention after the newest record, stops deletion for a day: more likely
// than 20 silent days is a clock that is set wrong, and what is deleted does
// not come back. Threads: none.
class RetentionGuard {
 public:
  RetentionGuard(WallTime newest_record, std::int64_t retention_s, const Clock& clock)
      : clock_(clock), wall_(clock.now()), steady_(clock.steady()) {
    if (newest_record.ms > 0 && wall_.ms - newest_record.ms > retention_s * 1000) suspend();
  }

  // Call it every minute or so.
  bool may_delete() {
    using std::chrono::milliseconds;
    const WallTime wall = clock_.now();
    const SteadyTime steady = clock_.steady();
    const auto passed_ms = std::chrono::duration_cast<milliseconds>(steady - steady_).count();
    if (wall.ms - wall_.ms > passed_ms + 3'600'000) suspend();
    wall_ = wall;
    steady_ = steady;
    return !suspended_until_ || steady >= *suspended_until_;
  }

 private:
  void suspend() { suspended_until_ = clock_.steady() + std::chrono::hours(24); }

  const Clock& clock_;
  WallTime wall_;
  SteadyTime steady_;
  std::optional<SteadyTime> suspended_until_;
};

}  // namespace sluice::recordlog
