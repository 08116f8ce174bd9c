#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/keenio/request.h"

namespace sluice::connectors::keenio {
namespace {

using nlohmann::json;
using testing::as;
using testing::batch_of;
using testing::TestChunk;

constexpr std::int64_t kTime = 1'795'303'082'007;  // 2026-11-21T23:18:02.007Z

// ---- request

TEST(KeenRequest, AddsTheRecordsOwnTimeAndKeepsItsBytes) {
  TestChunk chunk(Offset{0}, {R"({ "id":12345678901234567890, "cost":0.1000000000})", "{}"});
  chunk.columns(0).time_ms = kTime;
  const std::vector<Part> parts = parts_of(batch_of({chunk.run()}), "");
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].body,
            R"({"EMnifyEventData":[{"keen":{"timestamp":"2026-11-21T23:18:02.007Z"}, )"
            R"("id":12345678901234567890, "cost":0.1000000000},)"
            R"({"keen":{"timestamp":"1970-01-01T00:00:00.000Z"}}]})");
}

// The service takes no members of `keen` but a few, and a record that came from it has others.
TEST(KeenRequest, ARecordThatHasBeenThereComesWithoutItsOldTime) {
  for (const char* record :
       {R"({"keen":{"id":"x","timestamp":"y"},"a":"keen", "b":[1,{"keen":2}]})",
        R"({"a":"keen", "keen" : {"id":"x"} ,"b":[1,{"keen":2}]})",
        R"({"a":"keen","b":[1,{"keen":2}],"keen":null})"}) {
    const TestChunk chunk(Offset{0}, {record});
    const Part part = parts_of(batch_of({chunk.run()}), "c").front();
    const json event = json::parse(part.body).at("c")[0];
    EXPECT_EQ(event, json({{"keen", {{"timestamp", "1970-01-01T00:00:00.000Z"}}},
                           {"a", "keen"},
                           {"b", {1, {{"keen", 2}}}}}))
        << part.body;
    EXPECT_EQ(part.body.find("\"x\""), std::string::npos) << part.body;
  }
}

TEST(KeenRequest, HasAPartForEachKindOrOneForAll) {
  const TestChunk usage(Offset{0}, {R"({"id":1})", R"({"id":2})"}, Kind::Usage);
  const TestChunk events(Offset{2}, {R"({"id":3})"}, Kind::Event);
  const TestChunk more(Offset{3}, {R"({"id":4})"}, Kind::Usage);
  const RecordBatch batch = batch_of({usage.run(), events.run(), more.run()});
  const std::vector<Part> parts = parts_of(batch, "");
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].collection, "EMnifyUsageData");
  EXPECT_EQ(parts[0].records, (std::vector<std::uint32_t>{0, 1, 3}));
  EXPECT_EQ(json::parse(parts[0].body).at("EMnifyUsageData").size(), 3u);
  EXPECT_EQ(parts[1].collection, "EMnifyEventData");
  EXPECT_EQ(parts[1].records, (std::vector<std::uint32_t>{2}));
  const std::vector<Part> one = parts_of(batch, "my \"events\"");
  ASSERT_EQ(one.size(), 1u);
  const json events_of_one = json::parse(one[0].body).at("my \"events\"");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(events_of_one[i].at("id"), i + 1);
}

// ---- settings

TEST(KeenConfig, NamesThePropertyAtFault) {
  const auto fault = [](json more) {
    json credentials = {{"project_id", "p"}, {"write_key", "k"}};
    credentials.update(more);
    const Result<void> valid = find_connector("KeenIO")->validate(credentials);
    return valid.has_value() ? "valid" : valid.error().message;
  };
  EXPECT_EQ(fault(json::object()), "valid");
  EXPECT_EQ(fault({{"write_key", "a b"}}),
            "destination.credentials.write_key: must be visible ASCII characters without blanks");
  EXPECT_EQ(fault({{"endpoint_url", "http://a/?b"}}),
            "destination.credentials.endpoint_url: must have no query");
}

// ---- outcomes

class KeenOutcome : public ::testing::Test {
 protected:
  static PartOutcome said(const std::string& body) {
    ServiceAnswer answer;
    answer.outcome = {Delivered{}, 200, true};
    answer.body = body;
    return classify(std::move(answer), {"c", "", {1, 4, 5}});
  }
  static std::string flags(const std::string& second) {
    return fmt::format(R"({{"c":[{{"success":true}},{},{{"success":false}}]}})", second);
  }
};

TEST_F(KeenOutcome, IsThatOfTheFirstEventThatWasNotTaken) {
  EXPECT_TRUE(
      as<Delivered>(said(R"({"c":[{"success":true},{"success":true},{"success":true}]})").outcome));
  const PartOutcome refused = said(flags(
      R"({"success":false,"error":{"name":"InvalidPropertyNameError","description":"no dots"}})"));
  ASSERT_TRUE(as<Rejected>(refused.outcome));
  EXPECT_EQ(as<Rejected>(refused.outcome)->record, 4u);
  EXPECT_EQ(as<Rejected>(refused.outcome)->reason,
            "keen.io refused event 2 of 3 for c: InvalidPropertyNameError: no dots");
  EXPECT_EQ(refused.taken, 4u);
  const PartOutcome trouble =
      said(flags(R"({"success":false,"error":{"name":"ServerError","description":"later"}})"));
  ASSERT_TRUE(as<RetryLater>(trouble.outcome));
  EXPECT_EQ(as<RetryLater>(trouble.outcome)->first_failed, 4u);
}

TEST_F(KeenOutcome, AnAnswerThatNamesNotEachEventIsNone) {
  for (const char* body : {"", "[]", "{}", "<html>", R"({"c":[{"success":true}]})",
                           R"({"d":[{"success":true},{"success":true},{"success":true}]})"}) {
    const PartOutcome none = said(body);
    ASSERT_TRUE(as<RetryLater>(none.outcome)) << body;
    EXPECT_EQ(as<RetryLater>(none.outcome)->first_failed, 1u);
    EXPECT_EQ(none.taken, 1u);
  }
  EXPECT_TRUE(as<RetryLater>(said(R"({"c":[1,null,"x"]})").outcome));
}

TEST_F(KeenOutcome, ReadsTheServicesErrors) {
  egress::HttpResponse response;
  response.body = R"({"message":"The API key is invalid","error_code":"InvalidApiKeyError"})";
  EXPECT_EQ(read_error(response).code, "InvalidApiKeyError");
  EXPECT_EQ(read_error(response).message, "The API key is invalid");
}

}  // namespace
}  // namespace sluice::connectors::keenio
