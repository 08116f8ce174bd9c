#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/api_fixture.h"
#include "api/sample_record.h"
#include "ingest/record_parser.h"

namespace sluice::api {
namespace {

using nlohmann::json;

class AttemptsApi : public ApiTest {
 protected:
  AttemptsApi() { stream_ = create().at("id").get<std::uint64_t>(); }

  std::string path(const std::string& rest) const {
    return fmt::format("/api/v2/data_stream/{}{}", stream_, rest);
  }
  json get(const std::string& rest) {
    return expect(200, send(Role::Viewer, 1, {.method = "GET", .target = path(rest)}));
  }
  Attempt attempt(std::uint64_t n) const {
    Attempt made;
    made.time = clock.now();
    made.webhook_id = fmt::format("{}-1-{}-{}", stream_, n, n);
    made.number = 2;
    made.first = made.last = Offset{n};
    made.records = 1;
    made.bytes = 10;
    made.status = 200;
    made.latency = std::chrono::microseconds(1234);
    return made;
  }
  void add(const Attempt& made) { attempts->stream(StreamId{stream_})->add(made); }

  std::uint64_t stream_ = 0;
};

TEST_F(AttemptsApi, ListEachWithEveryProperty) {
  Attempt failed = attempt(7);
  failed.status = 503;
  failed.outcome = AttemptOutcome::Retry;
  failed.error = "503 later";
  failed.fault = Fault::Destination;
  failed.exchange = std::make_shared<const Exchange>(
      Exchange{"webhook-id: x\nX-Own: ***\n", "[1]", true, "Via: a\nVia: b\n", "no\xff"});
  add(failed);
  const json body = get("/attempts");
  EXPECT_EQ(body.at("next"), nullptr);
  ASSERT_EQ(body.at("items").size(), 1u);
  EXPECT_EQ(body.at("items").at(0), json::parse(fmt::format(R"({{
              "time": "2026-11-21T20:00:00.000Z", "webhook_id": "{}-1-7-7", "attempt": 2,
              "first_offset": 7, "last_offset": 7, "records": 1, "bytes": 10, "status": 503,
              "latency_ms": 1.234, "outcome": "retry", "error": "503 later",
              "fault": "destination",
              "request_headers": {{"webhook-id": "x", "X-Own": "***"}}, "request_body": "[1]",
              "response_headers": {{"Via": "a, b"}}, "response_body": "no\ufffd"}})",
                                                            stream_)));
}

TEST_F(AttemptsApi, WhatIsNotKnownIsNull) {
  add(attempt(1));
  Attempt broken = attempt(2);
  broken.status.reset();
  broken.outcome = AttemptOutcome::Retry;
  broken.fault = Fault::Us;
  broken.exchange = std::make_shared<const Exchange>(Exchange{"a: b\n", "[]", false, "", ""});
  add(broken);
  const json items = get("/attempts").at("items");
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items.at(0).at("status"), nullptr);
  EXPECT_EQ(items.at(0).at("fault"), "us");
  EXPECT_EQ(items.at(0).at("request_body"), "[]");
  EXPECT_EQ(items.at(0).at("response_headers"), nullptr);
  EXPECT_EQ(items.at(0).at("response_body"), nullptr);
  for (const char* name : {"error", "fault", "request_headers", "request_body"}) {
    EXPECT_EQ(items.at(1).at(name), nullptr) << name;
  }
}

TEST_F(AttemptsApi, ComeInPages) {
  for (std::uint64_t n = 0; n < 5; ++n) add(attempt(n));
  std::vector<std::uint64_t> found;
  json next = "";
  while (next.is_string()) {
    const std::string after = next.get<std::string>();
    const json page = get("/attempts?limit=2" + (after.empty() ? "" : "&after=" + after));
    for (const json& item : page.at("items")) found.push_back(item.at("first_offset"));
    next = page.at("next");
  }
  EXPECT_EQ(found, (std::vector<std::uint64_t>{4, 3, 2, 1, 0}));
  for (const char* query : {"?limit=0", "?limit=1001", "?after=x", "?colour=red"}) {
    const auto answer =
        send(Role::Viewer, 1, {.method = "GET", .target = path("/attempts") + query});
    EXPECT_EQ(answer.status, 400) << query;
  }
}

TEST_F(AttemptsApi, OfAnotherOrganisationDoNotExist) {
  for (const char* rest : {"/attempts", "/metrics"}) {
    EXPECT_EQ(send(Role::Admin, 2, {.method = "GET", .target = path(rest)}).status, 404) << rest;
    EXPECT_EQ(send(Role::Ingest, 1, {.method = "GET", .target = path(rest)}).status, 403) << rest;
  }
  EXPECT_EQ(send(Role::Admin, 2, {.method = "POST", .target = path("/test")}).status, 404);
  EXPECT_FALSE(last_sent.has_value());
}

TEST_F(AttemptsApi, GoWithTheirStream) {
  add(attempt(1));
  ASSERT_EQ(get("/attempts").at("items").size(), 1u);
  EXPECT_EQ(send(Role::Admin, 1, {.method = "DELETE", .target = path("")}).status, 202);
  EXPECT_TRUE(attempts->list(StreamId{stream_}, std::nullopt, 10)->attempts.empty());
}

TEST_F(AttemptsApi, MetricsSumUpAWindow) {
  Attempt failed = attempt(1);
  failed.outcome = AttemptOutcome::Retry;
  failed.fault = Fault::Network;
  failed.time.ms -= 30 * 60'000;
  failed.latency = std::chrono::seconds(10);
  add(failed);
  for (std::uint64_t n = 0; n < 3; ++n) add(attempt(n));
  dispatch::StreamSnapshot snapshot;
  snapshot.lag_records = 12;
  snapshot.lag_s = 7;
  dispatch.set(StreamId{stream_}, snapshot);

  const json whole = get("/metrics");
  EXPECT_EQ(whole.at("window"), "3h");
  EXPECT_EQ(whole.at("from"), "2026-11-21T17:00:00.000Z");
  EXPECT_EQ(whole.at("to"), "2026-11-21T20:00:00.000Z");
  EXPECT_EQ(whole.at("success_count"), 3);
  EXPECT_EQ(whole.at("error_count"), 1);
  EXPECT_EQ(whole.at("records"), 3);
  EXPECT_EQ(whole.at("bytes"), 30);
  EXPECT_NEAR(whole.at("latency_ms").at("p50").get<double>(), 1.234, 0.09);
  EXPECT_NEAR(whole.at("latency_ms").at("p99").get<double>(), 10'000, 700);
  EXPECT_EQ(whole.at("lag_records"), 12);
  EXPECT_EQ(whole.at("lag_s"), 7);
  EXPECT_EQ(get("/metrics?window=29m").at("error_count"), 0);
  EXPECT_EQ(get("/metrics?window=30m").at("error_count"), 1);
  EXPECT_EQ(get("/metrics?window=1d").at("error_count"), 1);
}

TEST_F(AttemptsApi, MetricsOfNothingHaveNoLatency) {
  const json none = get("/metrics?window=24h");
  EXPECT_EQ(none.at("success_count"), 0);
  EXPECT_EQ(none.at("latency_ms"), (json{{"p50", nullptr}, {"p99", nullptr}}));
}

TEST_F(AttemptsApi, AWindowOutOfRangeIsRefused) {
  for (const char* window : {"", "0m", "59s", "25h", "2d", "3", "h", "-3h", "x"}) {
    const auto answer =
        send(Role::Viewer, 1,
             {.method = "GET", .target = path("/metrics?window=") + std::string(window)});
    EXPECT_EQ(answer.status, 400) << window;
    EXPECT_NE(answer.body.find("window"), std::string::npos) << answer.body;
  }
}

TEST_F(AttemptsApi, ATestSendsASampleRecordAndShowsWhatCameBack) {
  send_answers = {connectors::RetryLater{"503 later", {}, 0}, 503, true, Fault::Destination};
  send_answers.exchange =
      std::make_shared<const Exchange>(Exchange{"a: b\n", "[x]", true, "c: d\n", "no"});
  const json shown =
      expect(200, send(Role::Developer, 1, {.method = "POST", .target = path("/test")}));
  EXPECT_EQ(shown.at("status"), 503);
  EXPECT_EQ(shown.at("outcome"), "retry");
  EXPECT_EQ(shown.at("fault"), "destination");
  EXPECT_EQ(shown.at("error"), "503 later");
  EXPECT_EQ(shown.at("records"), 1);
  EXPECT_EQ(shown.at("response_body"), "no");
  EXPECT_EQ(shown.at("response_headers"), (json{{"c", "d"}}));

  ASSERT_TRUE(last_sent.has_value());
  EXPECT_TRUE(last_sent->batch.test);
  EXPECT_EQ(last_sent->batch.stream, StreamId{stream_});
  EXPECT_EQ(shown.at("webhook_id"), last_sent->batch.webhook_id);
  EXPECT_TRUE(last_sent->batch.webhook_id.starts_with(fmt::format("{}-test-", stream_)));
  const json record = json::parse(last_sent->body);  // a usage record: the stream's type is 1
  EXPECT_EQ(record.at("organisation"), (json{{"id", 1}, {"name", "One"}}));
  EXPECT_TRUE(record.contains("volume"));
  const std::string first = last_sent->batch.webhook_id;
  expect(200, send(Role::Developer, 1, {.method = "POST", .target = path("/test"), .body = "{}"}));
  EXPECT_NE(last_sent->batch.webhook_id, first);
  EXPECT_TRUE(get("/attempts").at("items").empty());
  EXPECT_EQ(get("/metrics").at("error_count"), 0);
}

TEST_F(AttemptsApi, ATestIsForThoseWhoMayChangeStreamsAndTakesNothing) {
  EXPECT_EQ(send(Role::Viewer, 1, {.method = "POST", .target = path("/test")}).status, 403);
  const auto answer =
      send(Role::Developer, 1, {.method = "POST", .target = path("/test"), .body = R"({"a":1})"});
  EXPECT_EQ(answer.status, 422);
  EXPECT_FALSE(last_sent.has_value());
}

TEST(SampleRecord, IsOneThatIngestTakes) {
  ingest::RecordParser parser(1 << 20);
  const catalog::Organisation organisation{OrganisationId{7}, "\u00dcbung \"7\""};
  for (const Kind kind : {Kind::Usage, Kind::Event}) {
    std::string text = sample_record(kind, organisation, WallTime{1'795'291'200'000});
    const std::size_t size = text.size();
    text.resize(size + ingest::RecordParser::kPadding);
    const auto parsed = parser.parse(kind, std::string_view(text).substr(0, size));
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    EXPECT_EQ(parsed->organisation.id, organisation.id);
  }
}

}  // namespace
}  // namespace sluice::api
