#include "filters/decimal.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice::filters {
namespace {

TEST(Decimal, OrdersNumbersOfAnySizeByTheirExactValue) {
  // Each line is one value, in ascending order.
  const std::vector<std::vector<std::string>> ascending = {
      {"-1e400", "-10e399"},
      {"-9223372036854775809"},
      {"-9223372036854775808", "-9.223372036854775808e18"},
      {"-12.5", "-1.25e1", "-125E-1"},
      {"-12.49999999999999999999999999"},
      {"-0.001"},
      {"0", "-0", "0.000", "0e5", "-0.0E-7"},
      {"1e-400"},
      {"0.0055827499"},
      {"0.00558275", "0.0055827500", "5.58275e-3"},
      {"0.0055827501"},
      {"1", "1.0", "10e-1", "0.1e+1", "100e-2"},
      {"1.00000000000000000001"},
      {"9.9"},
      {"10", "1e1"},
      {"9007199254740992"},
      {"9007199254740993"},
      {"9223372036854775807"},
      {"18446744073709551616"},
      {"100000000000000000001"},
      {"1e309"},
      {"1e99999999999999999999999", "1e99999999999999999999998"}};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      for (const std::string& a : ascending[i]) {
        for (const std::string& b : ascending[j]) {
          ASSERT_TRUE(Decimal::parse(a) && Decimal::parse(b)) << a << " " << b;
          EXPECT_EQ(*Decimal::parse(a) <=> *Decimal::parse(b), i <=> j) << a << " " << b;
        }
      }
    }
  }
}

TEST(Decimal, TakesWhatJsonCallsANumberAndNothingElse) {
  for (const char* text : {"", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1.e1", "0x1", "1 ",
                           " 1", "1e1.5", "NaN", "Infinity", "1,5", "--1", "1-"}) {
    EXPECT_FALSE(Decimal::parse(text)) << text;
  }
}

TEST(Decimal, ToInt64TakesWholeNumbersThatFit) {
  const std::vector<std::pair<std::string, std::optional<std::int64_t>>> rows = {
      {"0", 0},
      {"-0.0", 0},
      {"1.0", 1},
      {"1200e-2", 12},
      {"1.2e1", 12},
      {"-7", -7},
      {"9223372036854775807", INT64_MAX},
      {"-9223372036854775808", INT64_MIN},
      {"9223372036854775808", std::nullopt},
      {"-9223372036854775809", std::nullopt},
      {"9999999999999999999", std::nullopt},
      {"18446744073709551617", std::nullopt},
      {"1e19", std::nullopt},
      {"1e400", std::nullopt},
      {"0.5", std::nullopt},
      {"1.5", std::nullopt},
      {"1e-400", std::nullopt}};
  for (const auto& [text, value] : rows) EXPECT_EQ(Decimal::parse(text)->to_int64(), value) << text;
}

}  // namespace
}  // namespace sluice::filters
