#include "dispatch/retry_policy.h"

#include <gtest/gtest.h>

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;

std::int64_t wait_ms(const FailedAttempt& failed, double chance = 0,
                     DeliverySettings settings = {}) {
  return retry_wait(settings, failed, chance).count();
}

TEST(RetryWait, DoublesToTheHourByDefault) {
  const std::vector<std::int64_t> expected_s = {8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600};
  for (std::uint32_t n = 1; n <= expected_s.size(); ++n) {
    EXPECT_EQ(wait_ms({.failures_in_a_row = n}), expected_s[n - 1] * 1000) << n;
  }
  EXPECT_EQ(wait_ms({.failures_in_a_row = 4'000'000'000}), 3'600'000);
}

TEST(RetryWait, StopsAtMax) {
  DeliverySettings settings;
  settings.initial = 10ms;
  settings.max = 35ms;
  EXPECT_EQ(wait_ms({.failures_in_a_row = 2}, 0, settings), 20);
  EXPECT_EQ(wait_ms({.failures_in_a_row = 3}, 0, settings), 35);
}

TEST(RetryWait, SlowAnswerAndRetryAfterLengthenItUpToAnHour) {
  EXPECT_EQ(wait_ms({.answered_took = 1s}), 8000);
  EXPECT_EQ(wait_ms({.answered_took = 5s}), 20'000);
  EXPECT_EQ(wait_ms({.retry_after = 1s}), 8000);
  EXPECT_EQ(wait_ms({.retry_after = 120s}), 120'000);
  EXPECT_EQ(wait_ms({.retry_after = 9000s}), 3'600'000);
  EXPECT_EQ(wait_ms({.retry_after = Milliseconds::max()}), 3'600'000);
  EXPECT_EQ(wait_ms({.retry_after = -5s}), 8000);
}

TEST(RetryWait, JitterGoesBothWaysButNeverBelowRetryAfter) {
  EXPECT_EQ(wait_ms({}, 1), 8800);
  EXPECT_EQ(wait_ms({}, -1), 7200);
  EXPECT_EQ(wait_ms({.retry_after = 8s}, -1), 8000);
  EXPECT_EQ(wait_ms({.retry_after = 8s}, 1), 8800);
  EXPECT_EQ(wait_ms({.retry_after = 7500ms}, -1), 7500);
  EXPECT_EQ(wait_ms({.failures_in_a_row = 20}, 1), 3'960'000);
  DeliverySettings settings;
  settings.jitter = 0;
  EXPECT_EQ(wait_ms({}, 1, settings), 8000);
}

TEST(FailureClock, RunsFromTheFirstFailureAndStandsStillWhileHeld) {
  const SteadyTime begin{1000s};
  FailureClock clock;
  EXPECT_EQ(clock.reaches(10s), std::nullopt);
  clock.hold(begin);
  clock.go_on(begin);
  EXPECT_EQ(clock.reaches(10s), std::nullopt);
  clock.start(begin);
  clock.start(begin + 5s);
  EXPECT_EQ(clock.reaches(10s), begin + 10s);
  clock.hold(begin + 4s);
  clock.hold(begin + 6s);
  EXPECT_EQ(clock.reaches(10s), std::nullopt);
  clock.start(begin + 7s);
  EXPECT_EQ(clock.reaches(10s), std::nullopt);
  clock.go_on(begin + 100s);
  EXPECT_EQ(clock.reaches(10s), begin + 106s);
  clock.reset();
  EXPECT_EQ(clock.reaches(10s), std::nullopt);
}

}  // namespace
}  // namespace sluice::dispatch
