#include "formats/csv.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace sluice::formats {
namespace {

std::string file(const std::string& name) {
  std::ifstream stream(std::string(SLUICE_GOLDEN) + "/" + name);
  EXPECT_TRUE(stream.is_open()) << name;
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string csv_of(Kind kind, const std::string& records) {
  Csv csv;
  std::string out = Csv::header(kind);
  std::istringstream lines(records);
  for (std::string line; std::getline(lines, line);) csv.append(out, kind, line);
  return out;
}

TEST(Csv, UsageIsAsTheGoldenFile) {
  EXPECT_EQ(csv_of(Kind::Usage, file("usage.ndjson")), file("usage.csv"));
}

TEST(Csv, EventsAreAsTheGoldenFile) {
  EXPECT_EQ(csv_of(Kind::Event, file("events.ndjson")), file("events.csv"));
}

TEST(Csv, WhatCannotBeReadIsARowWithoutValues) {
  Csv csv;
  std::string out;
  csv.append(out, Kind::Usage, "[1]");
  EXPECT_EQ(out, std::string(33, ',') + "\n");
}

}  // namespace
}  // namespace sluice::formats
