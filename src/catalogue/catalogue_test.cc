#include "catalogue/catalogue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace sluice::catalogue {
namespace {

TEST(Catalogue, HoldsTheTablesOfThePlatform) {
  const auto is_platforms = [](const Entry& type) { return type.id <= 10'000; };
  EXPECT_EQ(std::ranges::count_if(event_types(), is_platforms), 61);
  EXPECT_EQ(name_of(event_types(), 0), "Generic");
  EXPECT_EQ(name_of(event_types(), 5), "Delete PDP Context");
  EXPECT_EQ(name_of(event_types(), 69), "SIM migration");
  EXPECT_EQ(name_of(severities(), 2), "Critical");
  EXPECT_EQ(name_of(sources(), 1), "Policy Control");
  EXPECT_EQ(name_of(traffic_types(), 6), "SMS");
  EXPECT_EQ(name_of(rat_types(), 9), "LTE-M");
  EXPECT_EQ(name_of(quota_states(), 1), "ACTIVE");
  EXPECT_EQ(name_of(quota_actions(), 2), "Throttle");
}

TEST(Catalogue, IsOpen) {
  for (const std::int64_t id : {-1L, 24L, 35L, 47L, 70L, 1L << 40}) {
    EXPECT_EQ(find(event_types(), id), nullptr) << id;
    EXPECT_EQ(name_of(event_types(), id), std::nullopt) << id;
  }
  EXPECT_EQ(find(rat_types(), 7), nullptr);
}

TEST(Catalogue, TypeNamesAreDistinctSnakeCase) {
  const auto is_snake_case = [](const std::string& name) {
    return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == name.npos &&
           !name.starts_with('_') && !name.ends_with('_') && name.find("__") == name.npos &&
           !name.empty();
  };
  std::set<std::string> seen;
  for (const Entry& entry : event_types()) {
    const std::string name(entry.type_name);
    EXPECT_TRUE(is_snake_case(name)) << entry.id << " " << name;
    EXPECT_TRUE(seen.insert(name).second) << name;
  }
  EXPECT_EQ(find(event_types(), 3)->type_name, "create_pdp_context");
}

}  // namespace
}  // namespace sluice::catalogue
