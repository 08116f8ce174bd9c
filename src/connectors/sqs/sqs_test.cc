#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/sqs/request.h"

namespace sluice::connectors::sqs {
namespace {

using nlohmann::json;
using testing::as;
using testing::batch_of;
using testing::TestChunk;

const Queue kPlain{.url = "https://sqs.eu-west-1.amazonaws.com/1/q",
                   .endpoint = "https://sqs.eu-west-1.amazonaws.com/",
                   .region = "eu-west-1",
                   .fifo = false};

TEST(SqsRequest, HoldsEachRecordAsTheTextThatItIs) {
  const TestChunk chunk(Offset{100}, {R"({"a":"\u00e9 \"é\""})", R"({"b":2})"});
  const json body = json::parse(send_message_batch(kPlain, batch_of({chunk.run()})));
  EXPECT_EQ(body.at("QueueUrl"), kPlain.url);
  ASSERT_EQ(body.at("Entries").size(), 2u);
  EXPECT_EQ(body.at("Entries")[0], json({{"Id", "0"}, {"MessageBody", R"({"a":"\u00e9 \"é\""})"}}));
  EXPECT_EQ(body.at("Entries")[1], json({{"Id", "1"}, {"MessageBody", R"({"b":2})"}}));
}

TEST(SqsRequest, AFifoQueueGetsTheEndpointForAGroupAndAnIdThatStaysTheSame) {
  TestChunk chunk(Offset{100}, {"{}", "{}"}, Kind::Usage);
  chunk.columns(1).endpoint_id = 77;
  Queue fifo = kPlain;
  fifo.fifo = true;
  const json body = json::parse(send_message_batch(fifo, batch_of({chunk.run(1, 2)})));
  const json& entry = body.at("Entries")[0];
  EXPECT_EQ(entry.at("MessageGroupId"), "77");
  EXPECT_EQ(entry.at("MessageDeduplicationId"), "399921-usage-101");
}

TEST(SqsConfig, ReadsTheRegionFromTheUrl) {
  EXPECT_EQ(region_of("https://sqs.eu-west-1.amazonaws.com/1/q"), "eu-west-1");
  EXPECT_EQ(region_of("https://sqs.cn-north-1.amazonaws.com.cn/1/q"), "cn-north-1");
  EXPECT_EQ(region_of("http://127.0.0.1:5000/1/q"), "");
  EXPECT_EQ(region_of("q"), "");
}

TEST(SqsConfig, NamesThePropertyAtFault) {
  const auto fault = [](const json& credentials) {
    const Result<void> valid = find_connector("AwsSqs")->validate(credentials);
    return valid.has_value() ? "valid" : valid.error().message;
  };
  EXPECT_EQ(fault({{"queue_url", "https://a/1/q.fifo"}, {"role_arn", "r"}}), "valid");
  EXPECT_EQ(fault({{"queue_url", "a"}, {"role_arn", "r"}}),
            "destination.credentials.queue_url: the URL must begin with http:// or https://");
  EXPECT_EQ(fault({{"queue_url", "https://a/1/q?x=1"}, {"role_arn", "r"}}),
            "destination.credentials.queue_url: must have no query");
}

class SqsOutcome : public ::testing::Test {
 protected:
  SendOutcome said(const json& body) {
    aws::Answer answer;
    answer.outcome = {Delivered{}, 200, true};
    answer.body = body.dump();
    return classify(std::move(answer), batch_);
  }
  static json failed(const char* id, const char* code, bool ours) {
    return {{"Id", id}, {"Code", code}, {"Message", "m"}, {"SenderFault", ours}};
  }

  const TestChunk chunk_{Offset{100}, {"{}", "{}", "{}"}};
  const RecordBatch batch_ = batch_of({chunk_.run()});
};

TEST_F(SqsOutcome, GoesOnFromTheFirstThatFailed) {
  const json one = {{"Id", "1"}};
  EXPECT_TRUE(as<Delivered>(said({{"Successful", {{{"Id", "0"}}, {{"Id", "2"}}, one}}})));
  const SendOutcome later = said({{"Successful", {{{"Id", "0"}}, {{"Id", "2"}}}},
                                  {"Failed", json::array({failed("1", "InternalError", false)})}});
  ASSERT_TRUE(as<RetryLater>(later));
  EXPECT_EQ(as<RetryLater>(later)->first_failed, 1u);
  EXPECT_EQ(as<RetryLater>(later)->reason, "SendMessageBatch: record 2 of 3: InternalError: m");
  const SendOutcome silent = said({{"Successful", {{{"Id", "0"}}, {{"Id", "1"}}}}});
  ASSERT_TRUE(as<RetryLater>(silent));
  EXPECT_EQ(as<RetryLater>(silent)->first_failed, 2u);
  EXPECT_EQ(as<RetryLater>(said("nonsense"))->first_failed, 0u);
}

TEST_F(SqsOutcome, AMessageThatTheQueueRefusesIsRefusedAlone) {
  const SendOutcome refused =
      said({{"Successful", {{{"Id", "0"}}}},
            {"Failed",
             {failed("2", "InternalError", false), failed("1", "InvalidMessageContents", true)}}});
  ASSERT_TRUE(as<Rejected>(refused));
  EXPECT_EQ(as<Rejected>(refused)->record, 1u);
  const SendOutcome throttled =
      said({{"Successful", {{{"Id", "0"}}, {{"Id", "1"}}}},
            {"Failed", json::array({failed("2", "RequestThrottled", true)})}});
  EXPECT_TRUE(as<RetryLater>(throttled));
}

TEST_F(SqsOutcome, FollowsTheTable) {
  const auto refusal = [this](const char* code) {
    aws::Answer answer;
    answer.error = {code, "why"};
    answer.outcome = aws::refused(400, answer.error, {}, "reason");
    return classify(std::move(answer), batch_);
  };
  EXPECT_TRUE(as<Misconfigured>(refusal("QueueDoesNotExist")));
  EXPECT_TRUE(as<Misconfigured>(refusal("AccessDeniedException")));
  EXPECT_TRUE(as<RetryLater>(refusal("RequestThrottled")));
  EXPECT_TRUE(as<RetryLater>(refusal("KmsThrottled")));
  EXPECT_TRUE(as<Rejected>(refusal("InvalidMessageContents")));
  EXPECT_TRUE(as<Rejected>(refusal("BatchRequestTooLong")));
  EXPECT_EQ(refusal("BatchRequestTooLong").remote_status, 413);
}

}  // namespace
}  // namespace sluice::connectors::sqs
