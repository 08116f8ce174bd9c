#include "api/record_scan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/organisation_slots.h"
#include "base/metrics.h"
#include "dispatch/fake_log.h"

namespace sluice::api {
namespace {

constexpr OrganisationId kOne{1};
constexpr KindSet kBoth = {Kind::Usage, Kind::Event};

// A second passes with each look.
class HastyClock final : public Clock {
 public:
  WallTime now() const override { return {0}; }
  SteadyTime steady() const override { return SteadyTime(std::chrono::seconds(++looks_)); }

 private:
  mutable int looks_ = 0;
};

SteadyTime after_seconds(int seconds) { return SteadyTime(std::chrono::seconds(seconds)); }

std::shared_ptr<const filters::Filter> filter(std::string_view clauses) {
  const auto compiled = filters::Filter::compile(nlohmann::json::parse(clauses), kBoth);
  return std::get<std::shared_ptr<const filters::Filter>>(compiled);
}

class RecordScan : public testing::Test {
 protected:
  RecordScan() {
    for (int i = 0; i < 4; ++i) {  // offsets 0 to 7: four chunks of two
      const Kind kind = i == 2 ? Kind::Usage : Kind::Event;
      log.store(kOne, kind, {fmt::format(R"({{"description":"{}"}})", i), R"({"description":"x"})"},
                WallTime{i * 1000});
    }
  }

  // The offsets of what is found.
  std::vector<std::uint64_t> find(const std::string& clauses, KindSet kinds, std::uint64_t from,
                                  std::uint64_t to, std::size_t most = 100) {
    std::vector<std::uint64_t> offsets;
    const auto result = scan(log, clock, *filter(clauses), {kOne, kinds, Offset{from}, Offset{to}},
                             until, [&](const FoundRecord& found) {
                               offsets.push_back(plus(found.first->first, found.second).value());
                               return offsets.size() < most;
                             });
    EXPECT_TRUE(result);
    if (result) end = *result;
    return offsets;
  }

  using Offsets = std::vector<std::uint64_t>;
  dispatch::FakeLog log;
  HastyClock clock;
  SteadyTime until = after_seconds(1000);
  ScanEnd end;
};

TEST_F(RecordScan, FindsWhatPassesBetweenTwoOffsets) {
  EXPECT_EQ(find("[]", kBoth, 0, 100), (Offsets{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_TRUE(end.complete);
  EXPECT_EQ(end.reached, Offset{8});
  EXPECT_EQ(end.stored, WallTime{3000});
  EXPECT_EQ(find("[]", kBoth, 3, 5), (Offsets{3, 4}));
  EXPECT_EQ(end.reached, Offset{5});
  EXPECT_EQ(find("[]", {Kind::Usage}, 0, 8), (Offsets{4, 5}));
  EXPECT_EQ(find("[]", {Kind::Event}, 4, 6), Offsets{});
  EXPECT_EQ(end.reached, Offset{6});
  EXPECT_EQ(find("[]", kBoth, 5, 3), Offsets{});
  EXPECT_EQ(end.reached, Offset{5});
  const std::string x =
      R"([{"or": [{"field": "description", "value": "x"}, {"field": "kind", "value": "usage"}]}])";
  EXPECT_EQ(find(x, kBoth, 0, 8), (Offsets{1, 3, 4, 5, 7}));
}

TEST_F(RecordScan, StopsWhereTheVisitorHasEnough) {
  EXPECT_EQ(find("[]", kBoth, 0, 8, 3), (Offsets{0, 1, 2}));
  EXPECT_TRUE(end.complete);
  EXPECT_EQ(end.reached, Offset{3});
}

TEST_F(RecordScan, LooksAtOneChunkEvenWithoutTime) {
  until = after_seconds(0);
  EXPECT_EQ(find("[]", kBoth, 0, 8), (Offsets{0, 1}));
  EXPECT_FALSE(end.complete);
  EXPECT_EQ(end.reached, Offset{2});
  EXPECT_EQ(find("[]", kBoth, 2, 8), (Offsets{2, 3}));
  EXPECT_EQ(find("[]", kBoth, 6, 8), (Offsets{6, 7}));
  EXPECT_TRUE(end.complete);
  until = clock.steady() + std::chrono::seconds(2);
  EXPECT_EQ(find("[]", kBoth, 0, 8), (Offsets{0, 1, 2, 3}));
  EXPECT_FALSE(end.complete);
}

TEST_F(RecordScan, CountsWhatIsDamaged) {
  log.lose(kOne, Offset{2}, dispatch::FakeLog::Loss::Damaged);
  EXPECT_EQ(find("[]", kBoth, 0, 8), (Offsets{0, 1, 4, 5, 6, 7}));
  EXPECT_EQ(end.damaged, 2u);
}

TEST_F(RecordScan, AFailingDiskIsAnError) {
  log.fail_reads(Error{ErrorCode::Io, "broken"});
  const auto result = scan(log, clock, *filter("[]"), {kOne, kBoth, Offset{0}, Offset{8}}, until,
                           [](const FoundRecord&) { return true; });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::Io);
}

TEST_F(RecordScan, ShowsARecordAsItIs) {
  dispatch::FakeLog other;
  const std::string record = "{\"id\" : 9007199254740993,\n \"cost\":0.0055827500}";
  other.store(kOne, Kind::Usage, {record}, WallTime{1'795'291'200'123});
  std::string json;
  const auto found = other.read(kOne, kBoth, Offset{0});
  append_item(*found->chunk, 0, json);
  EXPECT_EQ(json, R"({"offset":0,"kind":"usage","stored":"2026-11-21T20:00:00.123Z","record":)" +
                      record + "}");
}

TEST(Place, IsAnOffsetOrATime) {
  EXPECT_EQ(parse_place("42"), Place(Offset{42}));
  EXPECT_EQ(parse_place("2026-11-21T20:00:00Z"), Place(WallTime{1'795'291'200'000}));
  for (const char* text : {"", "-1", "4x", "9223372036854775808", "99999999999999999999", "now"}) {
    EXPECT_FALSE(parse_place(text)) << text;
  }
}

TEST(OrganisationSlots, AreLimitedEachAndTogether) {
  Metrics metrics;
  Gauge gauge = metrics.gauge("test", "test");
  std::optional<OrganisationSlots> slots(std::in_place, 2, 3, gauge);
  std::vector<OrganisationSlots::Slot> taken;
  const auto take = [&](std::uint64_t organisation) {
    auto slot = slots->take(OrganisationId{organisation});
    if (slot) taken.push_back(*std::move(slot));
    return slot.has_value();
  };
  EXPECT_TRUE(take(1));
  EXPECT_TRUE(take(1));
  EXPECT_FALSE(take(1));
  EXPECT_TRUE(take(2));
  EXPECT_FALSE(take(3));
  EXPECT_EQ(gauge.value(), 3);
  taken.pop_back();
  EXPECT_TRUE(take(3));
  taken.pop_back();
  taken.pop_back();
  EXPECT_TRUE(take(1));
  slots.reset();
  taken.clear();
  EXPECT_EQ(gauge.value(), 0);
}

}  // namespace
}  // namespace sluice::api
