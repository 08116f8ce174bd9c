#include "base/duration.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Duration, TakesEachUnit) {
  using std::chrono::milliseconds;
  EXPECT_EQ(*parse_duration("250ms"), milliseconds(250));
  EXPECT_EQ(*parse_duration("0s"), milliseconds(0));
  EXPECT_EQ(*parse_duration("90s"), milliseconds(90'000));
  EXPECT_EQ(*parse_duration("15m"), milliseconds(900'000));
  EXPECT_EQ(*parse_duration("24h"), milliseconds(86'400'000));
  EXPECT_EQ(*parse_duration("30d"), milliseconds(2'592'000'000));
}

TEST(Duration, RefusesTheRestAndNamesIt) {
  for (const char* text :
       {"", "s", "7", "-1s", "1.5h", "1 h", " 1h", "1w", "1hh", "9223372036854775807d"}) {
    const auto duration = parse_duration(text);
    ASSERT_FALSE(duration.has_value()) << text;
    EXPECT_NE(duration.error().message.find(text), std::string::npos);
  }
}

}  // namespace
}  // namespace sluice
