// What every connection type must do that speaks to a broker in its own protocol, whatever that is.
// There is no list to keep, as in conformance_test.cc; what a broker must understand is tested
// against real ones in tests/e2e.

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
using testing::as;

constexpr std::string_view kSecret = "s3cret-of-the-stream";

// The example of the type's schema, without TLS, turned to `address`.
json credentials_for(const ConnectorDescriptor& type, const std::string& address) {
  const json schema = json::parse(type.schema_json);
  json credentials = schema.at("example");
  for (const json& field : schema.at("fields")) {
    const std::string key = field.at("key");
    const std::string kind = field.at("kind");
    if (kind == "url") {
      const std::string scheme = schema.at("example").at(key).get<std::string>();
      credentials[key] = scheme.substr(0, scheme.find("s://")) + "://" + address;
    }
    if (kind == "secret") credentials[key] = kSecret;
    if (key == "brokers") credentials[key] = address;
    if (key == "security") credentials[key] = "SASL_PLAINTEXT";
  }
  return credentials;
}

std::vector<const ConnectorDescriptor*> types_with_brokers() {
  std::vector<const ConnectorDescriptor*> types;
  for (const ConnectorDescriptor* type : connector_table()) {
    if (type->speaks_tls) types.push_back(type);
  }
  return types;
}

class BrokerConformance : public ::testing::TestWithParam<const ConnectorDescriptor*> {
 protected:
  BrokerConformance() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, settings);
  }

  std::unique_ptr<Connector> create(const std::string& address) {
    const json settings = {{"connection_type", GetParam()->type},
                           {"format", GetParam()->formats.front()},
                           {"credentials", credentials_for(*GetParam(), address)}};
    const Result<void> valid = GetParam()->validate(settings.at("credentials"));
    EXPECT_TRUE(valid.has_value()) << valid.error().message;
    return GetParam()->create({.organisation = OrganisationId{399921},
                               .stream = StreamId{7},
                               .settings = settings,
                               .success_200_only = false},
                              {*http_, clock_, "node-a"});
  }
  std::unique_ptr<Connector> create(const TestServer& server) {
    return create(fmt::format("127.0.0.1:{}", server.port()));
  }
  SendOutcome send(Connector& connector, std::chrono::milliseconds time = 10s) {
    return egress::testing::run(loop_, connector.send(batch_, clock_.steady() + time));
  }
  Result<void> check(Connector& connector, std::chrono::milliseconds time = 10s) {
    return egress::testing::run(loop_, connector.check(clock_.steady() + time));
  }

  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  const testing::TestChunk chunk_{Offset{100}, {R"({"id":1})"}, Kind::Event, WallTime{1'000'000}};
  const RecordBatch batch_ = testing::batch_of({chunk_.run()});
};

TEST_P(BrokerConformance, RefusesForbiddenAddresses) {
  const auto connector = create("10.255.255.1:9");
  const SendOutcome outcome = send(*connector);
  EXPECT_TRUE(as<Misconfigured>(outcome)) << reason_of(outcome.decision);
  EXPECT_NE(reason_of(outcome.decision).find("10.255.255.1 is a private address"),
            std::string::npos);
  EXPECT_EQ(outcome.remote_status, 500);
  EXPECT_FALSE(outcome.answered);
  EXPECT_FALSE(check(*connector).has_value());
}

TEST_P(BrokerConformance, RetriesWhereNobodyIsAndWhereSomebodyHangsUp) {
  std::string nobody;
  {
    const TestServer server([](Peer&) {});
    nobody = fmt::format("127.0.0.1:{}", server.port());
  }
  const TestServer hangs_up([](Peer& peer) {
    peer.read(1);
    peer.reset();
  });
  for (const auto& connector : {create(nobody), create(hangs_up)}) {
    for (int attempt = 0; attempt < 2; ++attempt) {
      const SendOutcome outcome = send(*connector);
      ASSERT_TRUE(as<RetryLater>(outcome)) << reason_of(outcome.decision);
      EXPECT_EQ(as<RetryLater>(outcome)->first_failed, 0u);
      EXPECT_EQ(outcome.remote_status, 502);
      EXPECT_FALSE(outcome.answered);
    }
    EXPECT_FALSE(check(*connector).has_value());
  }
}

TEST_P(BrokerConformance, RetriesWhoSpeaksSomethingElse) {
  const TestServer server([](Peer& peer) {
    peer.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    peer.wait(1h);
  });
  const auto connector = create(server);
  const SendOutcome outcome = send(*connector, 2s);
  EXPECT_TRUE(as<RetryLater>(outcome)) << reason_of(outcome.decision);
}

TEST_P(BrokerConformance, KeepsItsDeadlineAndShowsNoSecret) {
  const TestServer server([](Peer& peer) { peer.wait(1h); });
  const auto connector = create(server);
  const SendOutcome outcome = send(*connector, 200ms);
  EXPECT_TRUE(as<RetryLater>(outcome));
  EXPECT_EQ(outcome.remote_status, 504);
  EXPECT_FALSE(check(*connector, 200ms).has_value());
  ASSERT_NE(outcome.exchange, nullptr);
  const Exchange& exchange = *outcome.exchange;
  EXPECT_FALSE(exchange.answered);
  EXPECT_NE(exchange.request_headers.find("127.0.0.1:"), std::string::npos);
  EXPECT_EQ(exchange.request_body, R"({"id":1})");
  EXPECT_EQ(exchange.response_body, reason_of(outcome.decision));
  for (const std::string& shown :
       {exchange.request_headers, exchange.request_body, exchange.response_headers,
        exchange.response_body, std::string(reason_of(outcome.decision))}) {
    EXPECT_EQ(shown.find(kSecret), std::string::npos) << shown;
  }
}

TEST_P(BrokerConformance, StopsInMidFlight) {
  boost::asio::cancellation_signal cancel;
  const TestServer server([&](Peer& peer) {
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

std::string type_name(const ::testing::TestParamInfo<const ConnectorDescriptor*>& info) {
  return std::string(info.param->type);
}

INSTANTIATE_TEST_SUITE_P(All, BrokerConformance, ::testing::ValuesIn(types_with_brokers()),
                         type_name);

}  // namespace
}  // namespace sluice::connectors
