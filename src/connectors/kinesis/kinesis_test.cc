#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "connectors/common/aws/credentials.h"
#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/kinesis/request.h"
#include "egress/testing/run.h"
#include "egress/testing/test_server.h"

namespace sluice::connectors::kinesis {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using egress::testing::Peer;
using egress::testing::TestServer;
using testing::as;
using testing::batch_of;
using testing::TestChunk;

// ---- settings

Error fault_of(const json& credentials) {
  const Result<void> valid = find_connector("AwsKinesis")->validate(credentials);
  return valid.has_value() ? Error{ErrorCode::NotFound, "valid"} : valid.error();
}

TEST(Kinesis, TakesARoleOrAKey) {
  const json base = {{"region", "eu-west-1"}, {"stream_name", "s"}};
  const auto with = [&base](json more) {
    json credentials = base;
    credentials.update(more);
    return fault_of(credentials).message;
  };
  EXPECT_EQ(with({{"role_arn", "arn:aws:iam:1234567890:role/role_for_kinesis_data_stream"}}),
            "valid");
  EXPECT_EQ(with({{"access_key_id", "a"}, {"secret_access_key", "b"}}), "valid");
  EXPECT_EQ(with(json::object()),
            "destination.credentials.role_arn: is required, or access_key_id and secret_access_key "
            "instead");
  EXPECT_EQ(with({{"access_key_id", "a"}}),
            "destination.credentials.secret_access_key: is required: access_key_id and "
            "secret_access_key go together");
  EXPECT_EQ(with({{"role_arn", "r"}, {"access_key_id", "a"}, {"secret_access_key", "b"}}),
            "destination.credentials.role_arn: give either this or access_key_id");
  EXPECT_EQ(with({{"role_arn", "r"}, {"endpoint_url", "ftp://a"}}),
            "destination.credentials.endpoint_url: the URL must begin with http:// or https://");
}

// ---- request

TEST(KinesisRequest, HoldsEachRecordUnderTheKeyOfItsEndpoint) {
  TestChunk chunk(Offset{100}, {R"({"a":1})", R"({"b":2,"sim":{"id":12}})", R"({"c":3})"});
  chunk.columns(0).endpoint_id = 8392037;
  const json body = json::parse(put_records("my \"stream\"", batch_of({chunk.run()})));
  EXPECT_EQ(body.at("StreamName"), "my \"stream\"");
  const json& records = body.at("Records");
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(from_base64(records[0].at("Data").get<std::string>()), R"({"a":1})");
  EXPECT_EQ(records[0].at("PartitionKey"), "8392037");
  EXPECT_EQ(from_base64(records[1].at("Data").get<std::string>()), R"({"b":2,"sim":{"id":12}})");
  EXPECT_EQ(records[1].at("PartitionKey"), "12") << "without an endpoint the SIM's id";
  EXPECT_EQ(records[2].at("PartitionKey"), "399921") << "without both the organisation's";
}

TEST(KinesisRequest, LimitsLeaveRoomForTheKeys) {
  const BatchLimits limits = find_connector("AwsKinesis")->limits(json::object());
  EXPECT_EQ(limits.records_max, 500u);
  EXPECT_EQ(limits.bytes_max, 5u * 1024 * 1024 - 500 * 20);
}

// ---- outcomes

aws::Answer answered(std::string body) {
  aws::Answer answer;
  answer.outcome = {Delivered{}, 200, true};
  answer.body = std::move(body);
  return answer;
}

aws::Answer refusal(int status, std::string code) {
  aws::Answer answer;
  answer.error = {code, "why"};
  answer.outcome = aws::refused(status, answer.error, {}, "reason");
  return answer;
}

TEST(KinesisOutcome, GoesOnFromTheFirstThatFailed) {
  const TestChunk chunk(Offset{100}, {"{}", "{}", "{}"});
  const RecordBatch batch = batch_of({chunk.run()});
  constexpr const char* kTaken = R"({"SequenceNumber":"1","ShardId":"a"})";
  constexpr const char* kFailed =
      R"({"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"})";
  const auto said = [&](const char* a, const char* b, const char* c) {
    return classify(
        answered(fmt::format(R"({{"FailedRecordCount":1,"Records":[{},{},{}]}})", a, b, c)), batch);
  };
  EXPECT_TRUE(as<Delivered>(said(kTaken, kTaken, kTaken)));
  const SendOutcome part = said(kTaken, kFailed, kTaken);
  ASSERT_TRUE(as<RetryLater>(part));
  EXPECT_EQ(as<RetryLater>(part)->first_failed, 1u);
  EXPECT_EQ(as<RetryLater>(part)->reason,
            "PutRecords: record 2 of 3: ProvisionedThroughputExceededException: Rate exceeded");
  EXPECT_EQ(as<RetryLater>(said(kFailed, kFailed, kTaken))->first_failed, 0u);
}

TEST(KinesisOutcome, AnAnswerThatNamesNotEachRecordIsNone) {
  const TestChunk chunk(Offset{100}, {"{}", "{}"});
  const RecordBatch batch = batch_of({chunk.run()});
  for (const char* body : {"", "[]", "{}", R"({"FailedRecordCount":0,"Records":[{}]})", "<html>"}) {
    const SendOutcome outcome = classify(answered(body), batch);
    ASSERT_TRUE(as<RetryLater>(outcome)) << body;
    EXPECT_EQ(as<RetryLater>(outcome)->first_failed, 0u);
  }
}

TEST(KinesisOutcome, FollowsTheTable) {
  const TestChunk chunk(Offset{100}, {"{}", "{}"});
  const RecordBatch batch = batch_of({chunk.run()});
  const auto outcome = [&](int status, const char* code) {
    return classify(refusal(status, code), batch);
  };
  EXPECT_TRUE(as<RetryLater>(outcome(400, "ProvisionedThroughputExceededException")));
  EXPECT_TRUE(as<RetryLater>(outcome(400, "KMSThrottlingException")));
  EXPECT_TRUE(as<RetryLater>(outcome(500, "InternalFailure")));
  EXPECT_TRUE(as<RetryLater>(outcome(503, "")));
  EXPECT_TRUE(as<Misconfigured>(outcome(400, "ResourceNotFoundException")));
  EXPECT_TRUE(as<Misconfigured>(outcome(400, "AccessDeniedException")));
  EXPECT_TRUE(as<Misconfigured>(outcome(403, "InvalidSignatureException")));
  EXPECT_TRUE(as<Misconfigured>(outcome(400, "KMSAccessDeniedException")));
  EXPECT_TRUE(as<Misconfigured>(outcome(400, "ValidationException"))) << "its records are small";
  EXPECT_TRUE(as<Rejected>(outcome(413, "")));
}

TEST(KinesisOutcome, ARecordBeyondTheServicesLimitIsRejected) {
  const TestChunk chunk(Offset{100}, {"{}", std::string(kRecordBytesMax, ' ')});
  const RecordBatch batch = batch_of({chunk.run()});
  EXPECT_TRUE(as<Rejected>(classify(refusal(400, "ValidationException"), batch)));
  EXPECT_TRUE(as<Rejected>(classify(refusal(400, "InvalidArgumentException"), batch)));
  EXPECT_TRUE(as<Misconfigured>(classify(refusal(400, "ResourceNotFoundException"), batch)));
}

// ---- the whole connector against a server

class KinesisConnectorTest : public ::testing::Test {
 protected:
  KinesisConnectorTest() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, settings);
  }

  std::unique_ptr<Connector> create(json credentials) {
    credentials.update({{"region", "eu-west-1"}, {"stream_name", "s"}});
    const json settings = {{"connection_type", "AwsKinesis"}, {"credentials", credentials}};
    return find_connector("AwsKinesis")
        ->create({.organisation = OrganisationId{399921},
                  .stream = StreamId{7},
                  .settings = settings,
                  .success_200_only = false},
                 {*http_, clock_, "node-a", nullptr, nullptr, &operator_});
  }
  SendOutcome send(Connector& connector, std::chrono::milliseconds time = 10s) {
    return egress::testing::run(loop_, connector.send(batch_, clock_.steady() + time));
  }
  static std::string url_of(const TestServer& server) {
    return fmt::format("http://127.0.0.1:{}", server.port());
  }

  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  aws::Operator operator_{.keys = {"AKOPERATOR", "operator-secret", ""}, .sts_endpoint_url = ""};
  const TestChunk chunk_{Offset{100}, {R"({"a":1})", R"({"b":2})"}};
  const RecordBatch batch_ = batch_of({chunk_.run()});
};

constexpr const char* kBothTaken = R"({"FailedRecordCount":0,"Records":[{},{}]})";

std::string session(int number, const std::string& expiration) {
  return fmt::format(
      "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>"
      "<Credentials><AccessKeyId>ASIA{0}</AccessKeyId><SecretAccessKey>session-secret</"
      "SecretAccessKey>"
      "<SessionToken>session-token-{0}</SessionToken><Expiration>{1}</Expiration></Credentials>"
      "</AssumeRoleResult></AssumeRoleResponse>",
      number, expiration);
}

TEST_F(KinesisConnectorTest, SignsWithTheStreamsKeyAndShowsNoSecret) {
  std::mutex mutex;
  std::string head;
  const TestServer server([&](Peer& peer) {
    while (const auto request = peer.read_request()) {
      const std::lock_guard lock(mutex);
      head = request->head;
      peer.answer(200, "", kBothTaken);
    }
  });
  const auto connector = create({{"access_key_id", "AKIDSTREAM"},
                                 {"secret_access_key", "stream-secret"},
                                 {"endpoint_url", url_of(server) + "/"}});
  const SendOutcome outcome = send(*connector);
  EXPECT_TRUE(as<Delivered>(outcome)) << reason_of(outcome.decision);
  const std::lock_guard lock(mutex);
  EXPECT_NE(head.find("POST / HTTP/1.1"), std::string::npos) << head;
  EXPECT_NE(head.find("X-Amz-Target: Kinesis_20131202.PutRecords"), std::string::npos);
  EXPECT_NE(head.find("AWS4-HMAC-SHA256 Credential=AKIDSTREAM/"), std::string::npos);
  EXPECT_NE(head.find("/eu-west-1/kinesis/aws4_request"), std::string::npos);
  ASSERT_NE(outcome.exchange, nullptr);
  EXPECT_NE(outcome.exchange->request_headers.find("Authorization: ***"), std::string::npos);
  EXPECT_EQ(outcome.exchange->request_headers.find("AKIDSTREAM"), std::string::npos);
  EXPECT_EQ(outcome.exchange->response_body, kBothTaken);
}

TEST_F(KinesisConnectorTest, ARoleIsAssumedOnceUnderTheOrganisationsExternalId) {
  std::atomic<int> assumed = 0;
  std::mutex mutex;
  std::string form;
  const TestServer server([&](Peer& peer) {
    while (const auto request = peer.read_request()) {
      const std::lock_guard lock(mutex);
      if (request->head.find("X-Amz-Target") == std::string::npos) {
        form = request->body;
        peer.answer(200, "", session(++assumed, "2099-01-01T00:00:00Z"));
      } else {
        const bool ours =
            request->head.find("X-Amz-Security-Token: session-token-1") != std::string::npos;
        peer.answer(ours ? 200 : 403, "", ours ? kBothTaken : "{}");
      }
    }
  });
  operator_.sts_endpoint_url = url_of(server);
  const auto connector =
      create({{"role_arn", "arn:aws:iam::1:role/r"}, {"endpoint_url", url_of(server)}});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(as<Delivered>(send(*connector)));
  EXPECT_EQ(assumed, 1);
  EXPECT_EQ(form,
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"
            "&RoleSessionName=sluice-7&ExternalId=org-399921&DurationSeconds=3600");
}

TEST_F(KinesisConnectorTest, ASessionThatHasEndedIsRenewedOnceAndTheBatchSentAgain) {
  std::atomic<int> assumed = 0;
  std::atomic<int> put = 0;
  std::atomic<bool> always_expired = false;
  const TestServer server([&](Peer& peer) {
    while (const auto request = peer.read_request()) {
      if (request->head.find("X-Amz-Target") == std::string::npos) {
        peer.answer(200, "", session(++assumed, "2099-01-01T00:00:00Z"));
      } else if (++put == 1 || always_expired) {
        peer.answer(400, "", R"({"__type":"ExpiredTokenException","message":"it has ended"})");
      } else {
        peer.answer(200, "", kBothTaken);
      }
    }
  });
  operator_.sts_endpoint_url = url_of(server);
  const auto connector =
      create({{"role_arn", "arn:aws:iam::1:role/r"}, {"endpoint_url", url_of(server)}});
  EXPECT_TRUE(as<Delivered>(send(*connector)));
  EXPECT_EQ(assumed, 2);
  EXPECT_EQ(put, 2);
  always_expired = true;
  const SendOutcome outcome = send(*connector);
  EXPECT_NE(reason_of(outcome.decision).find("400 ExpiredTokenException: it has ended"),
            std::string::npos);
  EXPECT_EQ(put, 4) << "renewed once, no more";
}

TEST_F(KinesisConnectorTest, ASessionIsRenewedBeforeItEnds) {
  std::atomic<int> assumed = 0;
  const TestServer server([&](Peer& peer) {
    while (const auto request = peer.read_request()) {
      const bool sts = request->head.find("X-Amz-Target") == std::string::npos;
      peer.answer(200, "", sts ? session(++assumed, "2001-01-01T00:00:00Z") : kBothTaken);
    }
  });
  operator_.sts_endpoint_url = url_of(server);
  const auto connector =
      create({{"role_arn", "arn:aws:iam::1:role/r"}, {"endpoint_url", url_of(server)}});
  EXPECT_TRUE(as<Delivered>(send(*connector)));
  EXPECT_TRUE(as<Delivered>(send(*connector)));
  EXPECT_EQ(assumed, 2);
}

TEST_F(KinesisConnectorTest, ARoleThatCannotBeAssumedFailsInAwsOwnWords) {
  const TestServer server([](Peer& peer) {
    while (peer.read_request()) {
      peer.answer(403, "",
                  "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
                  "<Message>not authorized to perform: sts:AssumeRole</Message></Error>"
                  "</ErrorResponse>");
    }
  });
  operator_.sts_endpoint_url = url_of(server);
  const auto connector =
      create({{"role_arn", "arn:aws:iam::1:role/r"}, {"endpoint_url", url_of(server)}});
  const SendOutcome outcome = send(*connector);
  ASSERT_TRUE(as<Misconfigured>(outcome));
  EXPECT_EQ(as<Misconfigured>(outcome)->reason,
            "AssumeRole arn:aws:iam::1:role/r: 403 AccessDenied: not authorized to perform: "
            "sts:AssumeRole");
  const auto checked =
      egress::testing::run(loop_, connector->check(clock_.steady() + std::chrono::seconds(10)));
  EXPECT_FALSE(checked.has_value());
  operator_ = {};
  const auto keyless = create({{"role_arn", "r"}, {"endpoint_url", url_of(server)}});
  EXPECT_TRUE(as<Misconfigured>(send(*keyless)));
  EXPECT_EQ(send(*keyless).fault, Fault::Us);
}

TEST_F(KinesisConnectorTest, TheCheckPutsNothingAndTakesTheRefusalOfItForProof) {
  std::mutex mutex;
  json asked;
  std::string type = "InvalidArgumentException";
  const TestServer server([&](Peer& peer) {
    while (const auto request = peer.read_request()) {
      const std::lock_guard lock(mutex);
      asked = json::parse(request->body);
      peer.answer(400, "", json({{"__type", type}, {"message", "m"}}).dump());
    }
  });
  const auto connector = create({{"access_key_id", "AK"},
                                 {"secret_access_key", "stream-secret"},
                                 {"endpoint_url", url_of(server)}});
  const auto check = [&] {
    return egress::testing::run(loop_, connector->check(clock_.steady() + 10s));
  };
  EXPECT_TRUE(check().has_value());
  {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(asked.at("Records").at(0).at("ExplicitHashKey"),
              "340282366920938463463374607431768211456");
    type = "ResourceNotFoundException";
  }
  const Result<void> missing = check();
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().message.find("400 ResourceNotFoundException: m"), std::string::npos);
}

}  // namespace
}  // namespace sluice::connectors::kinesis
