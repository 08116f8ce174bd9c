#include "egress/retry_after.h"

#include <gtest/gtest.h>

namespace sluice::egress {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kNow{784'111'777'000};  // Sun, 06 Nov 1994 08:49:37 GMT

TEST(RetryAfter, TakesSecondsAndDates) {
  EXPECT_EQ(parse_retry_after("0", kNow), 0s);
  EXPECT_EQ(parse_retry_after("120", kNow), 120s);
  EXPECT_EQ(parse_retry_after("00120", kNow), 120s);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", kNow), 60s);
  EXPECT_EQ(parse_retry_after("Sunday, 06-Nov-94 08:50:37 GMT", kNow), 60s);
  EXPECT_EQ(parse_retry_after("Sun Nov  6 08:50:37 1994", kNow), 60s);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:38 GMT", {kNow.ms + 250}), 750ms);
}

TEST(RetryAfter, IsNeverNegativeAndBounded) {
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:36 GMT", kNow), 0s);
  EXPECT_EQ(parse_retry_after("Thu, 01 Jan 1970 00:00:00 GMT", kNow), 0s);
  EXPECT_EQ(parse_retry_after("99999999999999999999999999", kNow), 365 * 24h);
  EXPECT_EQ(parse_retry_after("9223372036854775807", kNow), 365 * 24h);
  EXPECT_EQ(parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", kNow), 365 * 24h);
}

TEST(RetryAfter, IgnoresTheRest) {
  for (const char* value : {"", " ", "-1", "+1", "1.5", "1s", "soon", "1e3", "0x10", "12:00",
                            "Sun, 99 Foo 1994", "\xff"}) {
    EXPECT_EQ(parse_retry_after(value, kNow), std::nullopt) << value;
  }
}

}  // namespace
}  // namespace sluice::egress
