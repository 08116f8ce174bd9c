// What every connection type that speaks HTTP must do, whatever it sends. There is no list to keep:
// each type is tried with the example of its own schema, its addresses turned to a test's server.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "egress/http_client.h"
#include "egress/testing/run.h"
#include "egress/testing/test_server.h"

namespace sluice::connectors {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using egress::testing::Peer;
using egress::testing::TestServer;

constexpr std::string_view kSecret = "s3cret-of-the-stream";

template <class Expected>
const Expected* as(const SendOutcome& outcome) {
  return std::get_if<Expected>(&outcome.decision);
}

bool has_field(const json& schema, std::string_view key) {
  for (const json& field : schema.at("fields")) {
    if (field.at("key") == key) return true;
  }
  return false;
}

// Empty: the type goes to no address of its settings.
json credentials_for(const ConnectorDescriptor& type, const std::string& url) {
  const json schema = json::parse(type.schema_json);
  json credentials = schema.at("example");
  bool goes_out = false;
  for (const json& field : schema.at("fields")) {
    const std::string key = field.at("key");
    const std::string kind = field.at("kind");
    if (kind == "url") credentials[key] = url;
    if (kind == "secret") credentials[key] = kSecret;
    if (kind == "headers") credentials[key] = {fmt::format("X-Api-Key: {}", kSecret)};
    goes_out = goes_out || kind == "url";
  }
  if (has_field(schema, "role_arn")) {
    credentials.erase("role_arn");
    credentials["access_key_id"] = "AKIDCONFORMANCE";
  }
  return goes_out ? credentials : json();
}

std::vector<const ConnectorDescriptor*> types_that_go_out() {
  std::vector<const ConnectorDescriptor*> types;
  for (const ConnectorDescriptor* type : connector_table()) {
    if (!credentials_for(*type, "http://a/").is_null()) types.push_back(type);
  }
  return types;
}

class Conformance : public ::testing::TestWithParam<const ConnectorDescriptor*> {
 protected:
  Conformance() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, settings);
  }

  std::unique_ptr<Connector> create(const std::string& url) {
    const json settings = {{"connection_type", GetParam()->type},
                           {"format", GetParam()->formats.front()},
                           {"credentials", credentials_for(*GetParam(), url)}};
    const Result<void> valid = GetParam()->validate(settings.at("credentials"));
    EXPECT_TRUE(valid.has_value()) << valid.error().message;
    return GetParam()->create({.organisation = OrganisationId{399921},
                               .stream = StreamId{7},
                               .settings = settings,
                               .success_200_only = false},
                              {*http_, clock_, "node-a"});
  }
  std::unique_ptr<Connector> create(const TestServer& server) {
    return create(fmt::format("http://127.0.0.1:{}", server.port()));
  }
  SendOutcome send(Connector& connector, std::chrono::milliseconds time = 10s) {
    return egress::testing::run(loop_, connector.send(batch_, clock_.steady() + time));
  }
  SendOutcome send_to(TestServer::Script script) {
    const TestServer server(std::move(script));
    const auto connector = create(server);
    return send(*connector);
  }
  SendOutcome send_and_get(int status, std::string_view headers = "", std::string_view body = "") {
    return send_to([=, headers = std::string(headers), body = std::string(body)](Peer& peer) {
      while (peer.read_request()) peer.answer(status, headers, body);
    });
  }

  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  const testing::TestChunk chunk_{Offset{100}, {R"({"id":1})"}, Kind::Event, WallTime{1'000'000}};
  const RecordBatch batch_ = testing::batch_of({chunk_.run()});
};

TEST_P(Conformance, RefusesForbiddenAddresses) {
  const auto connector = create("http://10.255.255.1:9/in");
  const SendOutcome outcome = send(*connector);
  EXPECT_TRUE(as<Misconfigured>(outcome)) << reason_of(outcome.decision);
  EXPECT_EQ(outcome.remote_status, 500);
  EXPECT_FALSE(outcome.answered);
  const auto checked = egress::testing::run(loop_, connector->check(clock_.steady() + 10s));
  EXPECT_FALSE(checked.has_value());
}

TEST_P(Conformance, RetriesWhatMayPass) {
  for (const int status : {408, 429, 500, 502, 503, 504}) {
    const SendOutcome outcome = send_and_get(status);
    ASSERT_TRUE(as<RetryLater>(outcome)) << status;
    EXPECT_EQ(as<RetryLater>(outcome)->first_failed, 0u);
    EXPECT_EQ(outcome.remote_status, status);
    EXPECT_TRUE(outcome.answered);
  }
  const SendOutcome hung_up = send_to([](Peer& peer) {
    peer.read_request();
    peer.reset();
  });
  EXPECT_TRUE(as<RetryLater>(hung_up));
  EXPECT_EQ(hung_up.remote_status, 502);
}

TEST_P(Conformance, HonoursRetryAfter) {
  const SendOutcome outcome = send_and_get(503, "Retry-After: 120\r\n");
  ASSERT_TRUE(as<RetryLater>(outcome));
  EXPECT_EQ(as<RetryLater>(outcome)->after, 120s);
}

TEST_P(Conformance, KnowsWrongSettingsAndSaysWhatItHeard) {
  for (const int status : {301, 401, 403, 404, 405}) {
    EXPECT_TRUE(as<Misconfigured>(send_and_get(status))) << status;
  }
  const SendOutcome outcome = send_and_get(403, "", "the gate is closed");
  EXPECT_NE(reason_of(outcome.decision).find("the gate is closed"), std::string::npos)
      << reason_of(outcome.decision);
}

TEST_P(Conformance, TooLargeIsRejected) {
  const SendOutcome outcome = send_and_get(413);
  EXPECT_TRUE(as<Rejected>(outcome));
  EXPECT_EQ(outcome.remote_status, 413);
}

TEST_P(Conformance, KeepsItsDeadline) {
  const TestServer server([](Peer& peer) {
    peer.read_request();
    peer.wait(1h);
  });
  const auto connector = create(server);
  const SendOutcome outcome = send(*connector, 100ms);
  EXPECT_TRUE(as<RetryLater>(outcome));
  EXPECT_EQ(outcome.remote_status, 504);
}

TEST_P(Conformance, StopsInMidFlight) {
  boost::asio::cancellation_signal cancel;
  const TestServer server([&](Peer& peer) {
    peer.read_request();
    boost::asio::post(loop_, [&cancel] { cancel.emit(boost::asio::cancellation_type::terminal); });
    peer.wait(1h);
  });
  const auto connector = create(server);
  bool delivered = false;
  boost::asio::co_spawn(
      loop_, connector->send(batch_, clock_.steady() + 1h),
      boost::asio::bind_cancellation_slot(
          cancel.slot(), [&](const std::exception_ptr& thrown, const SendOutcome& outcome) {
            delivered = thrown == nullptr && as<Delivered>(outcome) != nullptr;
            loop_.stop();
          }));
  loop_.restart();
  loop_.run();
  EXPECT_FALSE(delivered);
}

TEST_P(Conformance, ShowsNoSecretEvenIfTheAnswerDoes) {
  const std::string echo = fmt::format("you sent {}", kSecret);
  const SendOutcome outcome = send_and_get(500, fmt::format("X-Echo: {}\r\n", kSecret), echo);
  ASSERT_NE(outcome.exchange, nullptr);
  const Exchange& exchange = *outcome.exchange;
  EXPECT_TRUE(exchange.answered);
  for (const std::string& shown :
       {exchange.request_headers, exchange.request_body, exchange.response_headers,
        exchange.response_body, std::string(reason_of(outcome.decision))}) {
    EXPECT_EQ(shown.find(kSecret), std::string::npos) << shown;
    EXPECT_EQ(shown.find("Signature="), std::string::npos) << shown;
  }
  EXPECT_NE(exchange.response_body.find("you sent ***"), std::string::npos);
}

std::string type_name(const ::testing::TestParamInfo<const ConnectorDescriptor*>& info) {
  return std::string(info.param->type);
}

INSTANTIATE_TEST_SUITE_P(All, Conformance, ::testing::ValuesIn(types_that_go_out()), type_name);

}  // namespace
}  // namespace sluice::connectors
