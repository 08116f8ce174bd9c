#pragma once
// Whether the wall clock can be trusted enough to delete by it.

#include <cstdint>

#include "base/clock.h"

namespace sluice::recordlog {

// A forward step of over an hour against the steady clock, or a start more than
// the retention after the newest record, stops deletion for a day: more likely
// than 20 silent days is a clock that is set wrong, and what is deleted does
// not come back. Threads: none.
class RetentionGuard {
 public:
  RetentionGuard(WallTime newest_record, std::int64_t retention_s, const Clock& clock)
      : clock_(clock) {
    read_clocks();
    if (newest_record.ms > 0 && wall_.ms - newest_record.ms > retention_s * 1000) suspend();
  }

  // Call it every minute or so.
  bool may_delete() {
    using std::chrono::milliseconds;
    const WallTime wall_before = wall_;
    const SteadyTime steady_before = steady_;
    read_clocks();
    const auto passed_ms =
        std::chrono::duration_cast<milliseconds>(steady_ - steady_before).count();
    if (wall_.ms - wall_before.ms > passed_ms + 3'600'000) suspend();
    return steady_ >= suspended_until_;
  }

 private:
  // Both of one moment: a thread that slept between the two would see a step where there is none.
  void read_clocks() {
    do {
      steady_ = clock_.steady();
      wall_ = clock_.now();
    } while (clock_.steady() - steady_ > std::chrono::minutes(1));
  }
  void suspend() { suspended_until_ = clock_.steady() + std::chrono::hours(24); }

  const Clock& clock_;
  WallTime wall_;
  SteadyTime steady_;
  SteadyTime suspended_until_ = SteadyTime::min();
};

}  // namespace sluice::recordlog
