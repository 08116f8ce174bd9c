#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/datadog/payload.h"

namespace sluice::connectors::datadog {
namespace {

using nlohmann::json;
using testing::batch_of;
using testing::TestChunk;

constexpr WallTime kNow{1'795'303'082'007};

std::string usage(const char* endpoint, double total, double cost) {
  return json({{"id", 1},
               {"volume", {{"total", total}}},
               {"cost", cost},
               {"endpoint", {{"id", 7}, {"name", endpoint}}},
               {"imsi", "262"},
               {"operator", {{"name", "O2"}, {"country", {{"name", "Germany"}}}}}})
      .dump();
}

void set_times(TestChunk& chunk, std::int64_t time_ms) {
  for (std::uint32_t i = 0; i < chunk.chunk().count(); ++i) chunk.columns(i).time_ms = time_ms;
}

TEST(DatadogPayload, HasAPointOfEachMetricWithItsTags) {
  TestChunk chunk(Offset{0}, {usage("a", 1.5, 0.25)}, Kind::Usage);
  set_times(chunk, kNow.ms);
  const Payload payload = payload_of(batch_of({chunk.run()}), {.tags = {"env:prod"}}, kNow);
  const json series = json::parse(payload.series).at("series");
  ASSERT_EQ(series.size(), 2u) << "no point where the record has no value";
  EXPECT_EQ(series[0], json({{"metric", "endpoint.volume"},
                             {"type", 1},
                             {"points", {{{"timestamp", 1'795'303'082}, {"value", 1.5}}}},
                             {"tags",
                              {"endpoint_id:7", "endpoint_name:a", "imsi:262", "operator:O2",
                               "country:Germany", "env:prod"}}}));
  EXPECT_EQ(series[1].at("metric"), "endpoint.cost");
  EXPECT_EQ(payload.logs, "");
  EXPECT_EQ(payload.skipped, 0u);
}

TEST(DatadogPayload, SumsPointsOfOneSeriesAndSecond) {
  TestChunk chunk(Offset{0},
                  {usage("a", 0.1, 1), usage("a", 0.2, 2), usage("b", 5, 3), usage("a", 7, 4)},
                  Kind::Usage);
  set_times(chunk, kNow.ms);
  chunk.columns(3).time_ms = kNow.ms - 1000;
  const Payload payload = payload_of(batch_of({chunk.run()}), {}, kNow);
  EXPECT_NE(payload.series.find(R"("points":[{"timestamp":1795303082,"value":0.3},)"
                                R"({"timestamp":1795303081,"value":7}])"),
            std::string::npos)
      << payload.series;
  EXPECT_EQ(json::parse(payload.series).at("series").size(), 4u);
  EXPECT_EQ(payload.series, payload_of(batch_of({chunk.run()}), {}, kNow).series);
}

TEST(DatadogPayload, WhatIsTooOldIsNamedAndNothingBehindItIsSent) {
  TestChunk chunk(Offset{0},
                  {usage("a", 1, 1), usage("b", 1, 1), usage("c", 1, 1), usage("d", 1, 1)},
                  Kind::Usage);
  set_times(chunk, kNow.ms - kOldestPointMs);
  chunk.columns(1).time_ms = chunk.columns(2).time_ms = kNow.ms - kOldestPointMs - 1;
  const Payload payload = payload_of(batch_of({chunk.run()}), {}, kNow);
  EXPECT_EQ(payload.too_old, 1u);
  EXPECT_EQ(payload.too_old_count, 2u);
  EXPECT_NE(payload.series.find("endpoint_name:a"), std::string::npos);
  EXPECT_EQ(payload.series.find("endpoint_name:d"), std::string::npos);
  const Payload all = payload_of(batch_of({chunk.run()}), {.historical = true}, kNow);
  EXPECT_FALSE(all.too_old);
  EXPECT_NE(all.series.find("endpoint_name:c"), std::string::npos);
}

TEST(DatadogPayload, EventsAreLogsIfAskedForAndElseSkipped) {
  TestChunk events(Offset{0}, {R"({"id":1,"a":"\""})", R"({"id":2})"}, Kind::Event);
  set_times(events, kNow.ms - 10 * kOldestPointMs);
  const RecordBatch batch = batch_of({events.run()});
  EXPECT_EQ(payload_of(batch, {}, kNow).skipped, 2u);
  EXPECT_EQ(payload_of(batch, {}, kNow).logs, "");
  const Payload payload = payload_of(batch, {.tags = {"a:b", "c"}, .events_as_logs = true}, kNow);
  EXPECT_EQ(payload.skipped, 0u);
  EXPECT_FALSE(payload.too_old);
  const json logs = json::parse(payload.logs);
  ASSERT_EQ(logs.size(), 2u);
  EXPECT_EQ(logs[0].at("message"), R"({"id":1,"a":"\""})");
  EXPECT_EQ(logs[0].at("ddtags"), "a:b,c");
}

TEST(DatadogPayload, ALogTooOldIsNamedAlsoWithHistoricalMetrics) {
  TestChunk events(Offset{0}, {R"({"id":1})", R"({"id":2})"}, Kind::Event);
  events.columns(0).time_ms = kNow.ms - kOldestLogMs;
  events.columns(1).time_ms = kNow.ms - kOldestLogMs - 1;
  const RecordBatch batch = batch_of({events.run()});
  const Payload payload = payload_of(batch, {.events_as_logs = true, .historical = true}, kNow);
  EXPECT_EQ(payload.too_old, 1u);
  EXPECT_EQ(payload.too_old_count, 1u);
  EXPECT_EQ(json::parse(payload.logs).size(), 1u);
  EXPECT_FALSE(payload_of(batch, {.historical = true}, kNow).too_old) << "it is no log";
}

TEST(DatadogPayload, AUsageRecordWithoutNumbersIsSkipped) {
  TestChunk chunk(Offset{0}, {R"({"id":1,"cost":null,"volume":"x"})"}, Kind::Usage);
  set_times(chunk, kNow.ms);
  EXPECT_EQ(payload_of(batch_of({chunk.run()}), {}, kNow).skipped, 1u);
}

TEST(DatadogConfig, NamesWhatDoesNotGoTogether) {
  const ConnectorDescriptor& type = *find_connector("Datadog");
  const auto fault = [&type](const json& credentials, StreamFacts stream) {
    const Result<void> fits = type.fits({{"credentials", credentials}}, stream);
    return fits.has_value() ? "fits"
                            : fits.error().message.substr(0, fits.error().message.find(':'));
  };
  EXPECT_EQ(fault(json::object(), {{Kind::Usage}}), "fits");
  EXPECT_EQ(fault(json::object(), {{Kind::Usage, Kind::Event}}), "fits");
  EXPECT_EQ(fault(json::object(), {{Kind::Event}}), "destination.credentials.events_as_logs");
  EXPECT_EQ(fault({{"events_as_logs", true}}, {{Kind::Event}}), "fits");
  EXPECT_EQ(fault(json::object(), {{Kind::Usage}, true}), "stream_historic_data");
  EXPECT_EQ(fault({{"historical", true}}, {{Kind::Usage}, true}), "fits");
  EXPECT_EQ(split_tags(" a:b, ,c:d,"), (std::vector<std::string>{"a:b", "c:d"}));
}

TEST(DatadogOutcome, ReadsTheServicesErrors) {
  egress::HttpResponse response;
  response.body = R"({"errors":["Forbidden"]})";
  EXPECT_EQ(read_error(response).message, "Forbidden");
  response.body = R"({"errors":[{"detail":"Missing key","status":"401"}]})";
  EXPECT_EQ(read_error(response).message, "Missing key");
  response.body = "no";
  EXPECT_EQ(read_error(response).message, "");
}

}  // namespace
}  // namespace sluice::connectors::datadog
