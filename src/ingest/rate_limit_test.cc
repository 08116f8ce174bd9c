#include "ingest/rate_limit.h"

#include <gtest/gtest.h>

namespace sluice::ingest {
namespace {

constexpr OrganisationId kOne{1};
constexpr OrganisationId kTwo{2};

SteadyTime at(double seconds) {
  return SteadyTime(std::chrono::hours(1)) +
         std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(seconds));
}

TEST(RateLimit, IsOffByDefault) {
  EXPECT_FALSE(RateLimit({}).is_on());
  EXPECT_TRUE(RateLimit({.records_per_s = 1}).is_on());
  EXPECT_TRUE(RateLimit({.bytes_per_s = 1}).is_on());
}

TEST(RateLimit, LetsInASecondsWorthAndThenMakesWait) {
  RateLimit limit({.records_per_s = 10});
  EXPECT_EQ(limit.wait_s(kOne, at(0)), std::nullopt);
  limit.charge(kOne, 9, 1 << 30, at(0));
  EXPECT_EQ(limit.wait_s(kOne, at(0)), std::nullopt) << "bytes are free";
  limit.charge(kOne, 1, 0, at(0));
  EXPECT_EQ(limit.wait_s(kOne, at(0)), 1u);
  EXPECT_EQ(limit.wait_s(kTwo, at(0)), std::nullopt) << "to each its own";
  EXPECT_EQ(limit.wait_s(kOne, at(0.1)), std::nullopt);
}

TEST(RateLimit, ALargeRequestLeavesADebt) {
  RateLimit limit({.records_per_s = 10, .bytes_per_s = 1000});
  limit.charge(kOne, 1, 31'000, at(0));
  EXPECT_EQ(limit.wait_s(kOne, at(0)), 30u);
  EXPECT_EQ(limit.wait_s(kOne, at(29.5)), 1u);
  EXPECT_EQ(limit.wait_s(kOne, at(30.5)), std::nullopt);
}

TEST(RateLimit, SavesUpNoMoreThanASecond) {
  RateLimit limit({.records_per_s = 10});
  limit.charge(kOne, 1, 0, at(0));
  limit.charge(kOne, 10, 0, at(1000));
  EXPECT_EQ(limit.wait_s(kOne, at(1000)), 1u);
}

TEST(RateLimit, LongRunsAverageToTheRate) {
  RateLimit limit({.records_per_s = 100});
  std::uint64_t sent = 0;
  for (int ms = 0; ms < 100'000; ++ms) {
    if (limit.wait_s(kOne, at(ms / 1000.0))) continue;
    limit.charge(kOne, 7, 0, at(ms / 1000.0));
    sent += 7;
  }
  EXPECT_NEAR(static_cast<double>(sent), 100 * 100, 110);
}

TEST(RateLimit, ForgetsNoDebtHoweverManyOrganisationsThereAre) {
  RateLimit limit({.records_per_s = 1});
  limit.charge(kOne, 1000, 0, at(0));
  for (std::uint64_t id = 2; id < 50'000; ++id) {
    ASSERT_EQ(limit.wait_s(OrganisationId{id}, at(1)), std::nullopt);
  }
  EXPECT_TRUE(limit.wait_s(kOne, at(1)).has_value());
}

}  // namespace
}  // namespace sluice::ingest
