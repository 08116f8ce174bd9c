#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

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
  for (const char* rest : {"/attempts"}) {
    EXPECT_EQ(send(Role::Admin, 2, {.method = "GET", .target = path(rest)}).status, 404) << rest;
    EXPECT_EQ(send(Role::Ingest, 1, {.method = "GET", .target = path(rest)}).status, 403) << rest;
  }
}

TEST_F(AttemptsApi, GoWithTheirStream) {
  add(attempt(1));
  ASSERT_EQ(get("/attempts").at("items").size(), 1u);
  EXPECT_EQ(send(Role::Admin, 1, {.method = "DELETE", .target = path("")}).status, 202);
  EXPECT_TRUE(attempts->list(StreamId{stream_}, std::nullopt, 10)->attempts.empty());
}

}  // namespace
}  // namespace sluice::api
