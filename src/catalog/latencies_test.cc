#include "catalog/latencies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace sluice::catalog {
namespace {

using std::chrono::microseconds;

TEST(Latencies, HaveNoQuantileWhenThereAreNone) {
  EXPECT_FALSE(Latencies().quantile(0.5).has_value());
}

TEST(Latencies, GiveQuantilesWithinSevenPercent) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::minstd_rand random(seed);
  std::lognormal_distribution<double> spread(9, 2.5);
  Latencies latencies;
  std::vector<double> all;
  for (int i = 0; i < 5000; ++i) {
    const double us = std::clamp(spread(random), 1.0, 130e6);
    all.push_back(std::floor(us));
    latencies.add(microseconds(static_cast<std::int64_t>(us)));
  }
  std::sort(all.begin(), all.end());
  for (const double part : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = all[static_cast<std::size_t>(std::ceil(part * 5000)) - 1];
    const auto found = static_cast<double>(latencies.quantile(part)->count());
    EXPECT_NEAR(found, exact, exact * 0.07 + 1) << part;
  }
}

TEST(Latencies, TakeWhatIsNegativeOrEndless) {
  Latencies latencies;
  latencies.add(microseconds(-5));
  latencies.add(microseconds(std::int64_t{1} << 60));
  EXPECT_EQ(latencies.quantile(0.5)->count(), 0);
  EXPECT_GT(*latencies.quantile(1), std::chrono::seconds(120));
}

TEST(Latencies, ComeBackFromTheirTextAndAddUp) {
  Latencies latencies;
  for (const int us : {3, 3, 900, 40'000, 10'000'000}) latencies.add(microseconds(us));
  Latencies twice = Latencies::read(latencies.text());
  EXPECT_EQ(twice.text(), latencies.text());
  twice.add(latencies);
  twice.add(microseconds(3), 2);
  EXPECT_EQ(twice.text().substr(0, 4), "3:6 ");
  EXPECT_EQ(Latencies().text(), "");
}

TEST(Latencies, IgnoreTextThatIsNone) {
  for (const char* text : {"", " ", "x", "7", "7:", "7:x", "999:1", "-1:1", "7:99999999999"}) {
    EXPECT_FALSE(Latencies::read(text).quantile(1).has_value()) << text;
  }
  EXPECT_EQ(Latencies::read("7:1 rubbish").text(), "7:1");
}

}  // namespace
}  // namespace sluice::catalog
