#include "simulate/fleet.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "catalogue/catalogue.h"

namespace sluice::simulate {
namespace {

using nlohmann::json;

// FNV-1a: enough to tell two runs apart.
std::uint64_t fingerprint(Fleet fleet, int records) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (int i = 0; i < records; ++i) {
    for (const char c : fleet.next().json) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    }
  }
  return hash;
}

FleetOptions small_fleet(std::uint64_t seed = 7) {
  FleetOptions options;
  options.seed = seed;
  options.organisations = 3;
  options.endpoints = 20;
  return options;
}

// Millionths, from a number with at most six decimals.
std::int64_t e6(const json& value) { return std::llround(value.get<double>() * 1e6); }

TEST(Fleet, TheSameOptionsGiveTheSameBytes) {
  EXPECT_EQ(fingerprint(Fleet(small_fleet()), 5000), fingerprint(Fleet(small_fleet()), 5000));
}

TEST(Fleet, AnotherSeedGivesOtherRecords) {
  EXPECT_NE(fingerprint(Fleet(small_fleet(7)), 100), fingerprint(Fleet(small_fleet(8)), 100));
}

// A changed figure is no fault by itself: it says that this release's fleet is not the last one's,
// which users who compare runs want to read in the changelog.
TEST(Fleet, TheBytesOfASeedAreTheSameOnEveryMachine) {
  EXPECT_EQ(fingerprint(Fleet(small_fleet(1)), 1000), 13587405158265929071ULL);
}

TEST(Fleet, TimeNeverGoesBackAndIdsGrow) {
  Fleet fleet(small_fleet());
  std::int64_t time_ms = 0;
  std::map<Kind, std::uint64_t> last_id;
  for (int i = 0; i < 5000; ++i) {
    const SimulatedRecord record = fleet.next();
    const json value = json::parse(record.json);
    EXPECT_GE(record.time_ms, time_ms);
    time_ms = record.time_ms;
    const auto id = value.at("id").get<std::uint64_t>();
    EXPECT_GT(id, last_id[record.kind]);
    EXPECT_GT(id, 0xffff'ffffULL);
    EXPECT_LT(id, 1ULL << 53);
    last_id[record.kind] = id;
  }
}

TEST(Fleet, EveryDialectHasWhatARecordNeeds) {
  for (const Dialect dialect : {Dialect::Emnify, Dialect::Classic, Dialect::Nce}) {
    SCOPED_TRACE(static_cast<int>(dialect));
    FleetOptions options = small_fleet();
    options.dialect = dialect;
    options.all_types = true;
    Fleet fleet(options);
    for (int i = 0; i < 3000; ++i) {
      const SimulatedRecord record = fleet.next();
      const json value = json::parse(record.json);
      EXPECT_EQ(record.json.find('\n'), std::string_view::npos);
      EXPECT_TRUE(value.at("id").is_number_unsigned());
      EXPECT_EQ(value.at("organisation").at("id"), record.organisation.value());
      if (record.kind == Kind::Usage) {
        EXPECT_TRUE(value.at("start_timestamp").is_string());
        EXPECT_TRUE(value.at("end_timestamp").is_string());
      } else {
        EXPECT_TRUE(value.at("timestamp").is_string());
        EXPECT_TRUE(value.at("event_type").at("id").is_number_unsigned());
      }
    }
  }
}

TEST(Fleet, DialectsSpellAsTheirVendorsDo) {
  const auto first_event = [](Dialect dialect) {
    FleetOptions options = small_fleet();
    options.dialect = dialect;
    Fleet fleet(options);
    return json::parse(fleet.next().json);
  };
  const json emnify = first_event(Dialect::Emnify);
  EXPECT_TRUE(emnify.at("alert").is_boolean());
  EXPECT_EQ(emnify.at("timestamp").get<std::string>().size(), 24U);
  EXPECT_EQ(emnify.at("event_source").at("description"), "Network");
  EXPECT_FALSE(emnify.contains("user"));

  const json classic = first_event(Dialect::Classic);
  EXPECT_EQ(classic.at("alert"), 0);
  EXPECT_EQ(classic.at("timestamp").get<std::string>()[10], ' ');
  EXPECT_EQ(classic.at("event_source").at("name"), "Network");
  EXPECT_EQ(classic.at("event_severity").at("description"), "INFO");
  EXPECT_TRUE(classic.at("user").is_null());

  const json nce = first_event(Dialect::Nce);
  EXPECT_EQ(nce.at("timestamp").get<std::string>().size(), 20U);
  EXPECT_TRUE(nce.at("user").is_null());
  EXPECT_TRUE(nce.at("alert").is_boolean());
}

// What a biller relies on: interim and final records of a session make up its deleted context.
TEST(Fleet, UsageRecordsAddUpToTheDeletedContext) {
  Fleet fleet(small_fleet());
  std::map<std::string, std::array<std::int64_t, 3>> used;
  int closed = 0;
  int with_interim = 0;
  std::map<std::string, int> parts;
  while (closed < 500) {
    const SimulatedRecord record = fleet.next();
    const json value = json::parse(record.json);
    if (record.kind == Kind::Usage) {
      const json& volume = value.at("volume");
      EXPECT_EQ(e6(volume.at("total")), e6(volume.at("rx")) + e6(volume.at("tx")));
      if (!value.contains("session_id")) continue;
      auto& sum = used[value.at("session_id")];
      sum[0] += e6(volume.at("total"));
      sum[1] += e6(volume.at("rx"));
      sum[2] += e6(volume.at("tx"));
      ++parts[value.at("session_id")];
    } else if (value.at("event_type").at("id") == 5) {
      const json& detail = value.at("detail");
      const std::string session = detail.at("session_id");
      const json& volume = detail.at("volume");
      EXPECT_EQ(used.at(session)[0], e6(volume.at("total")));
      EXPECT_EQ(used.at(session)[1], e6(volume.at("rx")));
      EXPECT_EQ(used.at(session)[2], e6(volume.at("tx")));
      EXPECT_GT(used.at(session)[0], 0);
      with_interim += parts.at(session) > 1;
      used.erase(session);
      ++closed;
    }
  }
  EXPECT_GT(with_interim, 50);
}

TEST(Fleet, CostHasUpToTenDecimals) {
  Fleet fleet(small_fleet());
  std::size_t longest = 0;
  for (int i = 0; i < 2000; ++i) {
    const SimulatedRecord record = fleet.next();
    if (record.kind != Kind::Usage) continue;
    const std::size_t begin = record.json.find("\"cost\":") + 7;
    const std::string_view cost = record.json.substr(begin, record.json.find(',', begin) - begin);
    longest = std::max(longest, cost.size() - cost.find('.') - 1);
  }
  EXPECT_EQ(longest, 10U);
}

TEST(Fleet, EndpointsDoNotShareNumbers) {
  std::set<std::uint64_t> seen;
  for (std::uint32_t i = 0; i < 50'000; ++i) {
    const Subscriber subscriber = make_subscriber(9, i * 79, i);
    EXPECT_EQ(std::to_string(subscriber.iccid).size(), 19U);
    EXPECT_EQ(std::to_string(subscriber.imsi).size(), 15U);
    EXPECT_EQ(std::to_string(subscriber.imeisv).size(), 16U);
    EXPECT_EQ(subscriber.ip_address >> 22, (100U << 24 | 64U << 16) >> 22);  // 100.64.0.0/10
    for (const std::uint64_t number : {subscriber.iccid, subscriber.imsi, subscriber.imeisv,
                                       std::uint64_t{subscriber.ip_address}}) {
      EXPECT_TRUE(seen.insert(number).second) << number;
    }
  }
}

TEST(Fleet, AllTypesComeFirstWhenAskedFor) {
  FleetOptions options = small_fleet();
  options.all_types = true;
  Fleet fleet(options);
  std::set<std::int64_t> missing;
  for (const catalogue::Entry& type : catalogue::event_types()) {
    if (type.id < 10'001) missing.insert(type.id);
  }
  for (int i = 0; i < 150 && !missing.empty(); ++i) {
    const SimulatedRecord record = fleet.next();
    if (record.kind != Kind::Event) continue;
    missing.erase(json::parse(record.json).at("event_type").at("id").get<std::int64_t>());
  }
  EXPECT_TRUE(missing.empty()) << *missing.begin();
}

// Without --all-types, a day shows what a fleet lives through.
TEST(Fleet, ADayHasAllOfLife) {
  FleetOptions options = small_fleet();
  options.endpoints = 8;
  Fleet fleet(options);
  std::map<std::int64_t, int> types;
  int sms = 0;
  int alerts = 0;
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  for (;;) {
    const SimulatedRecord record = fleet.next();
    if (record.time_ms > options.start_ms + 86'400'000) break;
    ++records;
    bytes += record.json.size();
    const json value = json::parse(record.json);
    if (record.kind == Kind::Event) {
      ++types[value.at("event_type").at("id")];
      alerts += value.at("alert").get<bool>();
    } else {
      sms += value.at("traffic_type").at("id") == 6;
    }
  }
  for (const int type : {1, 2, 3, 4, 5, 6, 7, 15, 16, 18, 19}) {
    EXPECT_GT(types[type], 0) << type;
  }
  EXPECT_GT(sms, 0);
  EXPECT_GT(alerts, 0);
  EXPECT_GT(bytes / records, 700U);
  EXPECT_LT(bytes / records, 950U);
  // The promise that --rate is computed from.
  EXPECT_NEAR(static_cast<double>(records) / 24 / 24, kRecordsPerEndpointHour,
              0.2 * kRecordsPerEndpointHour);
}

TEST(Fleet, KeepsAboutTheRateAskedFor) {
  for (const std::uint32_t rate : {1U, 50U, 5000U}) {
    FleetOptions options = small_fleet();
    options.endpoints = 200;
    options.records_per_second = rate;
    Fleet fleet(options);
    std::int64_t first_ms = 0;
    std::int64_t last_ms = 0;
    const int records = 60'000;
    for (int i = 0; i < records; ++i) {
      last_ms = fleet.next().time_ms;
      if (i == records / 3) first_ms = last_ms;
    }
    const double seen = records * 2.0 / 3 / (static_cast<double>(last_ms - first_ms) / 1000);
    EXPECT_NEAR(seen, rate, 0.25 * rate);
  }
}

}  // namespace
}  // namespace sluice::simulate
