#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/salesforce/request.h"

namespace sluice::connectors::salesforce {
namespace {

using nlohmann::json;
using testing::as;
using testing::batch_of;
using testing::TestChunk;

constexpr const char* kEvent =
    R"({"id":4611686018427387905,"timestamp":"2026-11-21 08:38:02","alert":1,)"
    R"("event_type":{"id":3,"description":"Create PDP Context"},)"
    R"("event_severity":{"id":1,"name":"WARN"},"organisation":{"id":399921,"name":"Test"},)"
    R"("endpoint":{"id":7,"name":"e"},"imsi":{"imsi":"262"},"detail":{"a":[1]},"user":null})";

TEST(SalesforceFields, OfAnEvent) {
  const json event = event_of(fields_of(Kind::Event), kEvent);
  EXPECT_EQ(event, json({{"EventId__c", "4611686018427387905"},
                         {"Timestamp__c", "2026-11-21T08:38:02.000Z"},
                         {"EventTypeId__c", 3},
                         {"EventType__c", "Create PDP Context"},
                         {"Severity__c", "WARN"},
                         {"Alert__c", true},
                         {"OrganisationId__c", "399921"},
                         {"Organisation__c", "Test"},
                         {"EndpointId__c", "7"},
                         {"Endpoint__c", "e"},
                         {"IMSI__c", "262"},
                         {"Payload__c", kEvent}}));
}

TEST(SalesforceFields, OfAUsageRecord) {
  const char* record =
      R"({"id":5,"start_timestamp":"2026-11-21T08:00:00Z","end_timestamp":"x","imsi":"262",)"
      R"("volume":{"total":0.022331,"rx":0},"cost":0.0012345678,"currency":{"code":"EUR"}})";
  EXPECT_EQ(json(event_of(fields_of(Kind::Usage), record)),
            json({{"RecordId__c", "5"},
                  {"Start__c", "2026-11-21T08:00:00.000Z"},
                  {"VolumeTotal__c", 0.022331},
                  {"VolumeRx__c", 0},
                  {"Cost__c", 0.0012345678},
                  {"Currency__c", "EUR"},
                  {"IMSI__c", "262"},
                  {"Payload__c", record}}));
}

TEST(SalesforceFields, OfTheCustomersOwn) {
  const Result<std::vector<Field>> fields = read_fields({{"A__c", "endpoint.id"},
                                                         {"B__c", "text:endpoint.id"},
                                                         {"C__c", "detail"},
                                                         {"D__c", "$record"},
                                                         {"E__c", "no.such"}});
  ASSERT_TRUE(fields.has_value());
  EXPECT_EQ(json(event_of(*fields, kEvent)),
            json({{"A__c", 7}, {"B__c", "7"}, {"C__c", R"({"a":[1]})"}, {"D__c", kEvent}}));
  EXPECT_EQ(read_fields({{"A", "b"}}).error().message,
            "destination.credentials.fields.A: must be a field's API name, which ends with __c");
  EXPECT_EQ(read_fields({{"A__c", "text:"}}).error().message,
            "destination.credentials.fields.A__c: names no path");
}

TEST(SalesforceConfig, NamesThePropertyAtFault) {
  const auto fault = [](json more) {
    json credentials = {{"client_id", "i"}, {"client_secret", "s"}, {"event_name", "A__e"}};
    credentials.update(more);
    const Result<void> valid = find_connector("Salesforce")->validate(credentials);
    return valid.has_value() ? "valid" : valid.error().message.substr(24);
  };
  EXPECT_EQ(fault({{"refresh_token", "r"}}), "valid");
  for (const char* name : {"A__c", "A b__e", "../A__e"}) {
    EXPECT_EQ(fault({{"event_name", name}}),
              "event_name: must be a platform event's API name, which ends with __e");
  }
  for (const char* version : {"60", "v60.0", "60.", ".0", "6.0.0"}) {
    EXPECT_EQ(fault({{"api_version", version}}), "api_version: must be like 60.0") << version;
  }
  EXPECT_EQ(fault({{"login_url", "ftp://a"}}),
            "login_url: the URL must begin with http:// or https://");
}

TEST(SalesforceRequest, HasASubrequestForEachRecord) {
  const TestChunk chunk(Offset{0}, {R"({"id":1})", R"({"id":2})"}, Kind::Usage);
  const json body =
      json::parse(composite_of(batch_of({chunk.run()}), "/services/data/v60.0/sobjects/A__e", {}));
  EXPECT_EQ(body.at("allOrNone"), false);
  ASSERT_EQ(body.at("compositeRequest").size(), 2u);
  EXPECT_EQ(body.at("compositeRequest")[1],
            json({{"method", "POST"},
                  {"url", "/services/data/v60.0/sobjects/A__e"},
                  {"referenceId", "r1"},
                  {"body", {{"RecordId__c", "2"}, {"Payload__c", R"({"id":2})"}}}}));
}

class SalesforceOutcome : public ::testing::Test {
 protected:
  SendOutcome said(const std::string& second) {
    ServiceAnswer answer;
    answer.outcome = {Delivered{}, 200, true};
    answer.body = fmt::format(
        R"({{"compositeResponse":[{{"httpStatusCode":201}},{},{{"httpStatusCode":400}}]}})",
        second);
    return classify(std::move(answer), batch_);
  }
  SendOutcome second_failed(int status, const char* code) {
    return said(fmt::format(
        R"({{"httpStatusCode":{},"body":[{{"errorCode":"{}","message":"m"}}]}})", status, code));
  }

  const TestChunk chunk_{Offset{0}, {"{}", "{}", "{}"}};
  const RecordBatch batch_ = batch_of({chunk_.run()});
};

TEST_F(SalesforceOutcome, IsThatOfTheFirstEventThatWasNotTaken) {
  const SendOutcome refused = second_failed(400, "STRING_TOO_LONG");
  ASSERT_TRUE(as<Rejected>(refused));
  EXPECT_EQ(as<Rejected>(refused)->record, 1u);
  EXPECT_EQ(as<Rejected>(refused)->reason,
            "Salesforce answered 400 to event 2 of 3: STRING_TOO_LONG: m");
  for (const SendOutcome& later :
       {second_failed(400, "LIMIT_EXCEEDED"), second_failed(503, "X"), said("{}"), said("1")}) {
    ASSERT_TRUE(as<RetryLater>(later));
    EXPECT_EQ(as<RetryLater>(later)->first_failed, 1u);
  }
  EXPECT_TRUE(as<Misconfigured>(second_failed(400, "INVALID_FIELD")));
  EXPECT_TRUE(as<Misconfigured>(second_failed(404, "NOT_FOUND")));
}

TEST_F(SalesforceOutcome, OfTheWholeRequestFollowsItsCode) {
  const auto whole = [this](int status, const char* code) {
    ServiceAnswer answer;
    answer.error = {code, "m"};
    answer.outcome = {by_status(status, "why", {}), status, true};
    return classify(std::move(answer), batch_);
  };
  EXPECT_TRUE(as<RetryLater>(whole(403, "REQUEST_LIMIT_EXCEEDED")));
  EXPECT_TRUE(as<Misconfigured>(whole(403, "API_DISABLED_FOR_ORG")));
  EXPECT_TRUE(as<Misconfigured>(whole(401, "INVALID_SESSION_ID")));
  ServiceAnswer none;
  none.outcome = {Delivered{}, 200, true};
  none.body = R"({"compositeResponse":[]})";
  EXPECT_TRUE(as<RetryLater>(classify(std::move(none), batch_)));
}

TEST_F(SalesforceOutcome, TheDescriptionTellsWhichFieldsAreMissing) {
  const std::string description =
      R"({"fields":[{"name":"A__c","createable":true},{"name":"B__c","createable":false}]})";
  const std::vector<Field> wanted = {{"A__c", Field::Is::Value, "a"},
                                     {"B__c", Field::Is::Value, "b"},
                                     {"C__c", Field::Is::Value, "c"}};
  EXPECT_EQ(missing_fields(description, wanted), (std::vector<std::string>{"B__c", "C__c"}));
  EXPECT_EQ(missing_fields("no", wanted).size(), 3u);
}

}  // namespace
}  // namespace sluice::connectors::salesforce
