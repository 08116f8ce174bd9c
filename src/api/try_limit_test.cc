#include "api/try_limit.h"

#include <gtest/gtest.h>

namespace sluice::api {
namespace {

using std::chrono::seconds;

class ManualClock final : public Clock {
 public:
  WallTime now() const override { return {0}; }
  SteadyTime steady() const override { return SteadyTime(time); }
  std::chrono::milliseconds time{1'000'000};
};

class TryLimitTest : public testing::Test {
 protected:
  bool allowed(std::string_view address) { return !limit.count(address); }

  ManualClock clock;
  TryLimit limit{{.tries_max = 3, .window = seconds(300), .addresses_max = 4}, clock};
};

TEST_F(TryLimitTest, HoldsInEveryStretchOfTheWindow) {
  EXPECT_TRUE(allowed("192.0.2.1"));
  clock.time += seconds(200);
  EXPECT_TRUE(allowed("192.0.2.1"));
  EXPECT_TRUE(allowed("192.0.2.1"));
  EXPECT_EQ(limit.count("192.0.2.1"), seconds(100));
  clock.time += seconds(100) - std::chrono::milliseconds(1);
  EXPECT_EQ(limit.count("192.0.2.1"), seconds(1));
  clock.time += std::chrono::milliseconds(1);
  EXPECT_TRUE(allowed("192.0.2.1"));  // the first is 300 s old, the refused ones never counted
  EXPECT_EQ(limit.count("192.0.2.1"), seconds(200));
}

TEST_F(TryLimitTest, EachAddressHasItsOwnTries) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(allowed("192.0.2.1"));
  EXPECT_FALSE(allowed("192.0.2.1"));
  EXPECT_TRUE(allowed("192.0.2.2"));
  EXPECT_TRUE(allowed(""));
}

TEST_F(TryLimitTest, AnIpv6HostCannotMultiplyItself) {
  EXPECT_TRUE(allowed("2001:db8::1"));
  EXPECT_TRUE(allowed("2001:db8::2"));
  EXPECT_TRUE(allowed("2001:db8:0:0:ffff::"));
  EXPECT_FALSE(allowed("2001:db8::4"));
  EXPECT_TRUE(allowed("2001:db8:0:1::1"));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(allowed("::ffff:192.0.2.9"));
  EXPECT_FALSE(allowed("192.0.2.9"));
}

TEST_F(TryLimitTest, ForgetsTheLongestUnseenWhenItsTableIsFull) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(allowed("192.0.2.1"));
  for (const char* address : {"192.0.2.2", "192.0.2.3", "192.0.2.4"}) EXPECT_TRUE(allowed(address));
  EXPECT_FALSE(allowed("192.0.2.1"));  // seen again: 2 is the longest unseen now
  EXPECT_TRUE(allowed("192.0.2.5"));
  EXPECT_FALSE(allowed("192.0.2.1"));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(allowed("192.0.2.2"));
}

}  // namespace
}  // namespace sluice::api
