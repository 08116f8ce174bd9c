#include "formats/decimal.h"

#include <gtest/gtest.h>

namespace sluice::formats {
namespace {

std::string decimal(std::string_view number, std::size_t decimals) {
  std::string out;
  append_decimal(out, number, decimals);
  return out;
}

TEST(Decimal, PadsAndNeverCuts) {
  EXPECT_EQ(decimal("0.0138", 6), "0.013800");
  EXPECT_EQ(decimal("5", 6), "5.000000");
  EXPECT_EQ(decimal("0.00558275", 10), "0.0055827500");
  EXPECT_EQ(decimal("0.12345678901234567890123", 10), "0.12345678901234567890123");
  EXPECT_EQ(decimal("-0.5", 6), "-0.500000");
  EXPECT_EQ(decimal("0.0", 6), "0.000000");
  EXPECT_EQ(decimal("12345678901234567890", 0), "12345678901234567890");
}

TEST(Decimal, WritesExponentsOut) {
  EXPECT_EQ(decimal("1e3", 6), "1000.000000");
  EXPECT_EQ(decimal("1.5E-3", 6), "0.001500");
  EXPECT_EQ(decimal("1.25e+1", 6), "12.500000");
  EXPECT_EQ(decimal("0.05e1", 6), "0.500000");
  EXPECT_EQ(decimal("0.5e1", 6), "5.000000");
  EXPECT_EQ(decimal("12.5e-2", 6), "0.125000");
  EXPECT_EQ(decimal("12.5e-1", 0), "1.25");
  EXPECT_EQ(decimal("1e9999", 6), "1e9999");
  EXPECT_EQ(decimal("-2.5e-9999999999", 6), "-2.5e-9999999999");
}

}  // namespace
}  // namespace sluice::formats
