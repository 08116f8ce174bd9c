#include "api/live_feed.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "dispatch/fake_log.h"

namespace sluice::api {
namespace {

constexpr OrganisationId kOne{1};
constexpr KindSet kBoth = {Kind::Usage, Kind::Event};

std::string record(int offset, const std::string& kind, const std::string& bytes) {
  return "event: record\nid: " + std::to_string(offset + 1) +
         "\ndata: {\"offset\":" + std::to_string(offset) + R"(,"kind":")" + kind +
         R"(","stored":"2026-11-21T20:00:00.000Z","record":)" + bytes + "}\n\n";
}

std::string gap(int from, int to) {
  return "event: gap\nid: " + std::to_string(to) + "\ndata: {\"from\":" + std::to_string(from) +
         ",\"to\":" + std::to_string(to) + "}\n\n";
}

class Live : public testing::Test {
 protected:
  Live() { store({"{\"old\":1}"}); }

  LiveFeed feed(std::optional<Offset> resume = {}, const char* clauses = "[]",
                KindSet kinds = kBoth) {
    const auto compiled = filters::Filter::compile(nlohmann::json::parse(clauses), kinds);
    return LiveFeed(
        log, {kOne, kinds, std::get<std::shared_ptr<const filters::Filter>>(compiled), resume},
        1000, {fell_behind, behind});
  }
  void store(const std::vector<std::string>& records, Kind kind = Kind::Event) {
    log.store(kOne, kind, records, WallTime{1'795'291'200'000});
  }

  dispatch::FakeLog log;
  Metrics metrics;
  Counter fell_behind = metrics.counter("test", "test");
  Gauge behind = metrics.gauge("behind", "test");
};

TEST_F(Live, SendsWhatIsStoredFromNowOn) {
  LiveFeed live = feed();
  EXPECT_EQ(live.next(0).events, "");
  EXPECT_EQ(live.sign_of_life(), ": still here\nid: 1\n\n");
  store({"{\"a\":\n1}", "{}"});
  store({"{\"b\":2}"}, Kind::Usage);
  const LiveFeed::Step step = live.next(0);
  EXPECT_EQ(step.events, record(1, "event", "{\"a\": 1}") + record(2, "event", "{}") +
                             record(3, "usage", "{\"b\":2}"));
  EXPECT_FALSE(step.more);
  EXPECT_EQ(live.next(0).events, "");
}

TEST_F(Live, SendsWhatPassesAlone) {
  LiveFeed live = feed({}, R"([{"field": "description", "value": "x"}])", {Kind::Event});
  store({R"({"description":"y"})", R"({"description":"x"})"});
  store({R"({"description":"x"})"}, Kind::Usage);
  EXPECT_EQ(live.next(0).events, record(2, "event", R"({"description":"x"})"));
  store({R"({"description":"y"})"});
  EXPECT_EQ(live.next(0).events, "");
  EXPECT_EQ(live.sign_of_life(), ": still here\nid: 5\n\n");
}

TEST_F(Live, ReadsInStepsThatEnd) {
  LiveFeed live = feed();
  for (int i = 0; i < 100; ++i) store({"{}"});
  std::string expected;
  for (int i = 1; i <= 100; ++i) expected += record(i, "event", "{}");
  LiveFeed::Step step = live.next(0);
  EXPECT_TRUE(step.more);
  std::string events = step.events;
  step = live.next(0);
  EXPECT_FALSE(step.more);
  EXPECT_EQ(events + step.events, expected);
  store({"{\"a\":\"" + std::string(300 << 10, 'x') + "\"}"});
  store({"{}"});
  EXPECT_TRUE(live.next(0).more);
  EXPECT_EQ(live.next(0).events, record(102, "event", "{}"));
}

TEST_F(Live, AClientThatStaysBehindGetsAGap) {
  LiveFeed live = feed();
  store({"{}"});
  EXPECT_EQ(live.next(1001).events, "");  // once may be a burst
  EXPECT_EQ(live.next(1000).events, record(1, "event", "{}"));
  store({"{}"});
  EXPECT_EQ(live.next(1001).events, "");
  EXPECT_EQ(fell_behind.value(), 0);
  EXPECT_EQ(live.next(1001).events, "");
  EXPECT_EQ(fell_behind.value(), 1);
  store({"{}"});
  EXPECT_EQ(live.next(5000).events, "");
  EXPECT_EQ(live.next(1000).events, gap(2, 4));
  EXPECT_EQ(live.next(0).events, "");
  store({"{}"});
  EXPECT_EQ(live.next(0).events, record(4, "event", "{}"));
}

TEST_F(Live, ResumesWhereTheClientWas) {
  store({"{}", "{}"});
  LiveFeed live = feed(Offset{2});
  EXPECT_EQ(live.next(0).events, record(2, "event", "{}"));
  LiveFeed from_another_log = feed(Offset{4});
  EXPECT_EQ(from_another_log.next(0).events, "");
  store({"{}"});
  EXPECT_EQ(from_another_log.next(0).events, record(3, "event", "{}"));
}

TEST_F(Live, ResumesFarBackWithAGap) {
  const int many = LiveFeed::kResumeOffsetsMax;
  store(std::vector<std::string>(many, "{}"));
  EXPECT_EQ(feed(Offset{1}).next(0).events.substr(0, 13), "event: record");
  LiveFeed live = feed(Offset{0});
  EXPECT_EQ(live.next(0).events, gap(0, many + 1));
  EXPECT_EQ(live.next(0).events, "");
}

TEST_F(Live, WhatTheLogLostIsAGap) {
  LiveFeed live = feed();
  store({"{}", "{}"});
  store({"{}"});
  log.lose(kOne, Offset{1}, dispatch::FakeLog::Loss::Damaged);
  EXPECT_EQ(live.next(0).events, gap(1, 3) + record(3, "event", "{}"));
}

TEST_F(Live, AFailingDiskIsTriedAgain) {
  LiveFeed live = feed();
  store({"{}"});
  log.fail_reads(Error{ErrorCode::Io, "broken"});
  EXPECT_EQ(live.next(0).events, "");
  log.fail_reads(std::nullopt);
  EXPECT_EQ(live.next(0).events, record(1, "event", "{}"));
}

}  // namespace
}  // namespace sluice::api
