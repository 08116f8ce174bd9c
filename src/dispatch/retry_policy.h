#pragma once
// How long to wait after a failure, and when to give up. Pure: time and chance are arguments.

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "dispatch/delivery_settings.h"

namespace sluice::dispatch {

// The longest wait, also where the receiver asks for more.
inline constexpr Milliseconds kWaitMax{3'600'000};

struct FailedAttempt {
  std::uint32_t failures_in_a_row = 1;             // with this one
  std::optional<Milliseconds> answered_took = {};  // the last answered attempt's time
  std::optional<Milliseconds> retry_after = {};    // what the receiver asked for
};

// `chance` in [-1, 1]: where in the jitter's range. Never below `retry_after` (at most 1 h).
Milliseconds retry_wait(const DeliverySettings& settings, const FailedAttempt& failed,
                        double chance);

// Runs from the first failure after a success; stands still while the stream is paused or the
// fault is ours.
class FailureClock {
 public:
  void start(SteadyTime now);  // no effect while it runs or is held
  // Goes on where a former process was.
  void start_at(std::chrono::seconds elapsed, SteadyTime now);
  void hold(SteadyTime now);
  void go_on(SteadyTime now);
  void reset() { *this = FailureClock{}; }
  // When `limit` will have been reached; nullopt while it does not run.
  std::optional<SteadyTime> reaches(std::chrono::milliseconds limit) const;
  std::chrono::seconds elapsed(SteadyTime now) const;

 private:
  bool started_ = false;
  std::chrono::nanoseconds before_hold_{0};
  std::optional<SteadyTime> since_;  // none while held
};

}  // namespace sluice::dispatch
