#include "base/timestamp.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <time.h>

#include <random>

namespace sluice {
namespace {

constexpr std::int64_t kNoon = 1'582'977'600'000;  // 2020-02-29T12:00:00Z

TEST(Timestamp, TakesEachFormOfTheVendors) {
  EXPECT_EQ(parse_timestamp("2020-02-29 12:00:00"), kNoon);
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00"), kNoon);
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00Z"), kNoon);
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00.000Z"), kNoon);
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00.000+0000"), kNoon);
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00+00:00"), kNoon);
  EXPECT_EQ(parse_timestamp("2020-02-29 12:00:00.5Z"), kNoon + 500);
}

TEST(Timestamp, CutsFractionsToMilliseconds) {
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00.1Z"), kNoon + 100);
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00.12Z"), kNoon + 120);
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00.1239Z"), kNoon + 123);
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00.999999999Z"), kNoon + 999);
  EXPECT_EQ(parse_timestamp("2020-02-29T12:00:00.000999999"), kNoon);
}

TEST(Timestamp, ShiftsOffsetsToUtc) {
  EXPECT_EQ(parse_timestamp("2020-02-29T14:30:00+02:30"), kNoon);
  EXPECT_EQ(parse_timestamp("2020-02-29T14:30:00+0230"), kNoon);
  EXPECT_EQ(parse_timestamp("2020-02-29T00:00:00-1200"), kNoon);
  EXPECT_EQ(parse_timestamp("2020-03-01T11:59:00+23:59"), kNoon);
}

TEST(Timestamp, CountsALeapSecondAsTheSecondBeforeIt) {
  EXPECT_EQ(parse_timestamp("2016-12-31T23:59:60.250Z"), 1'483'228'799'250);
  EXPECT_EQ(parse_timestamp("2016-12-31T23:59:61Z"), std::nullopt);
}

TEST(Timestamp, RefusesWhatTheCalendarDoesNotHave) {
  for (const char* const text :
       {"2021-02-29 12:00:00", "2100-02-29 12:00:00", "2021-04-31 12:00:00", "2021-00-10 12:00:00",
        "2021-13-10 12:00:00", "2021-01-00 12:00:00", "2021-01-32 12:00:00", "2021-01-01 24:00:00",
        "2021-01-01 12:60:00", "2021-01-01T12:00:00+24:00", "2021-01-01T12:00:00+00:60"}) {
    EXPECT_EQ(parse_timestamp(text), std::nullopt) << text;
  }
  EXPECT_TRUE(parse_timestamp("2000-02-29 12:00:00"));
  EXPECT_TRUE(parse_timestamp("2021-12-31 23:59:59"));
}

TEST(Timestamp, RefusesOtherForms) {
  for (const char* const text : {"",
                                 "2021",
                                 "2021-01-01",
                                 "2021-01-01T12:00",
                                 "20210101T120000Z",
                                 "2021-1-1 12:00:00",
                                 "2021-01-01  12:00:00",
                                 "2021-01-01T12:00:00.",
                                 "2021-01-01T12:00:00.Z",
                                 "2021-01-01T12:00:00.1234567890",
                                 "2021-01-01T12:00:00,5",
                                 "2021-01-01T12:00:00 Z",
                                 "2021-01-01T12:00:00ZZ",
                                 "2021-01-01T12:00:00+",
                                 "2021-01-01T12:00:00+00",
                                 "2021-01-01T12:00:00+000",
                                 "2021-01-01T12:00:00+00:000",
                                 "2021-01-01T12:00:00 +0000",
                                 " 2021-01-01T12:00:00",
                                 "2021-01-01T12:00:00 ",
                                 "-021-01-01T12:00:00",
                                 "2021-01-01T-1:00:00",
                                 "1628513480000",
                                 "2021-01-01T12:00:00\xC2\xA0"}) {
    EXPECT_EQ(parse_timestamp(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_timestamp(std::string_view("2021-01-01T12:00:00\0", 20)), std::nullopt);
}

// Method: every second that timegm() knows, drawn at random, with a random zone.
TEST(Timestamp, AgreesWithTheSystemsCalendar) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 100'000; ++i) {
    const std::int64_t seconds = std::uniform_int_distribution<std::int64_t>(
        -62'167'132'800, 253'402'214'400)(random);  // 0000-01-02 to 9999-12-31
    const int zone = std::uniform_int_distribution<int>(-1439, 1439)(random);
    const time_t local = seconds + zone * 60;
    tm parts;
    gmtime_r(&local, &parts);
    const int year = parts.tm_year + 1900;
    if (year < 0 || year > 9999) continue;
    const std::string text =
        fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.007{}{:02}:{:02}", year, parts.tm_mon + 1,
                    parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, zone < 0 ? '-' : '+',
                    std::abs(zone) / 60, std::abs(zone) % 60);
    ASSERT_EQ(parse_timestamp(text), seconds * 1000 + 7) << text;
  }
}

TEST(Timestamp, IsWrittenInOneForm) {
  EXPECT_EQ(format_timestamp(1'795'303'082'007), "2026-11-21T23:18:02.007Z");
  EXPECT_EQ(format_timestamp(-1), "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace sluice
