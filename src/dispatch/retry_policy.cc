#include "dispatch/retry_policy.h"

#include <algorithm>
#include <cmath>

namespace sluice::dispatch {
namespace {

Milliseconds doubled(Milliseconds initial, std::uint32_t times, Milliseconds max) {
  Milliseconds wait = std::min(initial, max);
  for (; times > 0 && wait < max; --times) wait = std::min(wait * 2, max);
  return wait;
}

}  // namespace

Milliseconds retry_wait(const DeliverySettings& settings, const FailedAttempt& failed,
                        double chance) {
  Milliseconds wait = doubled(settings.initial, failed.failures_in_a_row - 1, settings.max);
  if (failed.answered_took) wait = std::max(wait, 4 * *failed.answered_took);
  const Milliseconds floor =
      std::clamp(failed.retry_after.value_or(Milliseconds{0}), Milliseconds{0}, kWaitMax);
  wait = std::min(std::max(wait, floor), kWaitMax);
  const double jitter = static_cast<double>(wait.count()) * settings.jitter * chance;
  return std::max(wait + Milliseconds{std::llround(jitter)}, floor);
}

void FailureClock::start(SteadyTime now) {
  if (started_) return;
  started_ = true;
  since_ = now;
}

void FailureClock::start_at(std::chrono::seconds elapsed, SteadyTime now) {
  start(now);
  before_hold_ = elapsed;
}

void FailureClock::hold(SteadyTime now) {
  if (!since_) return;
  before_hold_ += now - *since_;
  since_.reset();
}

void FailureClock::go_on(SteadyTime now) {
  if (started_ && !since_) since_ = now;
}

std::optional<SteadyTime> FailureClock::reaches(std::chrono::milliseconds limit) const {
  if (!since_) return std::nullopt;
  return *since_ + (limit - before_hold_);
}

std::chrono::seconds FailureClock::elapsed(SteadyTime now) const {
  const auto running = since_ ? now - *since_ : std::chrono::nanoseconds{0};
  return std::chrono::duration_cast<std::chrono::seconds>(before_hold_ + running);
}

}  // namespace sluice::dispatch
