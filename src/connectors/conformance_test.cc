// What every connection type that speaks HTTP must do, whatever it sends. There is no list to keep:
// each type is tried with the example of its own schema, its addresses turned to a test's server.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "connectors/common/test_keys.h"
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

bool has_field(const json& schema, std::string_view key) {
  for (const json& field : schema.at("fields")) {
    if (field.at("key") == key) return true;
  }
  return false;
}

json schema_of(const ConnectorDescriptor& type) { return json::parse(type.schema_json); }

// Its address stands in the connection string, and is always one of TLS.
bool has_connection_string(const ConnectorDescriptor& type) {
  return has_field(schema_of(type), "connection_string");
}

// A secret of a form of its own holds kSecret where it holds what is secret.
std::string secret_for(std::string_view key, const std::string& url) {
  if (key == "connection_string") {
    return fmt::format("Endpoint=sb{};SharedAccessKeyName=n;SharedAccessKey={};EntityPath=hub",
                       url.substr(url.find(':')), kSecret);
  }
  if (key == "service_account") {
    return json({{"type", "service_account"},
                 {"client_email", "sluice@example.com"},
                 {"private_key", testing::rsa_key_pem()},
                 {"token_uri", url + "/token"}})
        .dump();
  }
  return std::string(kSecret);
}

// Empty: the type goes to no address of its settings.
json credentials_for(const ConnectorDescriptor& type, const std::string& url) {
  const json schema = schema_of(type);
  json credentials = schema.at("example");
  bool goes_out = has_connection_string(type);
  for (const json& field : schema.at("fields")) {
    const std::string key = field.at("key");
    const std::string kind = field.at("kind");
    if (kind == "url") credentials[key] = url;
    if (kind == "secret") credentials[key] = secret_for(key, url);
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
    const bool has_broker = type->speaks_tls;  // broker_conformance_test.cc
    if (has_broker) continue;
    if (!credentials_for(*type, "http://a").is_null()) types.push_back(type);
  }
  return types;
}

const egress::testing::Identity& authority() {
  static const egress::testing::Identity made = egress::testing::make_authority();
  return made;
}

// The next request; who asks for a token first gets one.
std::optional<egress::testing::Request> next(Peer& peer) {
  while (auto request = peer.read_request()) {
    if (!request->body.starts_with("grant_type=")) return request;
    const std::size_t host = request->head.find("Host: ") + 6;
    const json token = {
        {"access_token", kSecret},
        {"token_type", "Bearer"},
        {"expires_in", 3600},
        {"instance_url",
         "http://" + request->head.substr(host, request->head.find('\r', host) - host)}};
    peer.answer(200, "", token.dump());
  }
  return std::nullopt;
}

class Conformance : public ::testing::TestWithParam<const ConnectorDescriptor*> {
 protected:
  Conformance() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, settings);
    for (std::uint32_t i = 0; i < chunk_.chunk().count(); ++i) {
      chunk_.columns(i).time_ms = clock_.now().ms;
      chunk_.columns(i).endpoint_id = 1;
    }
  }

  // A server that the type can speak to.
  static std::optional<egress::testing::Identity> identity() {
    if (!has_connection_string(*GetParam())) return std::nullopt;
    return egress::testing::make_certificate(authority(), {});
  }

  std::unique_ptr<Connector> create(const std::string& url) {
    json settings = {{"connection_type", GetParam()->type},
                     {"format", GetParam()->formats.front()},
                     {"credentials", credentials_for(*GetParam(), url)}};
    if (GetParam()->takes_ca) settings["ca"] = authority().certificate;
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
    const TestServer server(std::move(script), identity());
    const auto connector = create(server);
    return send(*connector);
  }
  SendOutcome send_and_get(int status, std::string_view headers = "", std::string_view body = "") {
    return send_to([=, headers = std::string(headers), body = std::string(body)](Peer& peer) {
      while (next(peer)) peer.answer(status, headers, body);
    });
  }

  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  testing::TestChunk chunk_{Offset{100},
                            {R"({"id":1,"volume":{"total":1},"endpoint":{"name":"first-one"}})"},
                            Kind::Usage,
                            WallTime{1'000'000}};
  const RecordBatch batch_ = testing::batch_of({chunk_.run()});
};

TEST_P(Conformance, RefusesForbiddenAddresses) {
  const auto connector = create("http://10.255.255.1:9");
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
    next(peer);
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
  const TestServer server(
      [](Peer& peer) {
        next(peer);
        peer.wait(1h);
      },
      identity());
  const auto connector = create(server);
  const SendOutcome outcome = send(*connector, 100ms);
  EXPECT_TRUE(as<RetryLater>(outcome));
  EXPECT_EQ(outcome.remote_status, 504);
}

TEST_P(Conformance, StopsInMidFlight) {
  boost::asio::cancellation_signal cancel;
  const TestServer server(
      [&](Peer& peer) {
        next(peer);
        boost::asio::post(loop_,
                          [&cancel] { cancel.emit(boost::asio::cancellation_type::terminal); });
        peer.wait(1h);
      },
      identity());
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

std::string unpacked(const std::string& gzip) {
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(gzip.data()));
  stream.avail_in = static_cast<uInt>(gzip.size());
  std::string plain(1 << 20, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_out = static_cast<uInt>(plain.size());
  inflateInit2(&stream, 31);
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  inflateEnd(&stream);
  plain.resize(stream.total_out);
  return plain;
}

// What is said in a body, in its order: of JSON the texts, unpacked where they are base64.
std::string readable(std::string body) {
  if (body.starts_with("\x1f\x8b")) body = unpacked(body);
  const json parsed = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return body;
  std::string text;
  const auto walk = [&text](const auto& self, const json& value) -> void {
    if (value.is_string()) {
      const auto& said = value.get_ref<const std::string&>();
      text += from_base64(said).value_or(said) + "\n";
    } else if (value.is_structured()) {
      for (const json& one : value) self(self, one);
    }
  };
  walk(walk, parsed);
  return text;
}

TEST_P(Conformance, HoldsTheRecordsInOrderAndTheSameBytesAtEachAttempt) {
  constexpr int kRecords = 5;
  std::vector<std::string> records;
  for (int i = 0; i < kRecords; ++i) {
    records.push_back(json({{"id", i},
                            {"volume", {{"total", 1}}},
                            {"endpoint", {{"id", 1}, {"name", fmt::format("marker-{}", i)}}}})
                          .dump());
  }
  testing::TestChunk chunk(Offset{100}, records, Kind::Usage, WallTime{1'000'000});
  for (std::uint32_t i = 0; i < kRecords; ++i) {
    chunk.columns(i).time_ms = clock_.now().ms;
    chunk.columns(i).endpoint_id = 1;
  }
  const RecordBatch batch = testing::batch_of({chunk.run()});
  std::mutex mutex;
  std::vector<std::string> bodies;
  const TestServer server(
      [&](Peer& peer) {
        while (auto request = next(peer)) {
          const std::lock_guard lock(mutex);
          bodies.push_back(request->body);
          peer.answer(503);
        }
      },
      identity());
  const auto connector = create(server);
  for (int attempt = 0; attempt < 2; ++attempt) {
    egress::testing::run(loop_, connector->send(batch, clock_.steady() + 10s));
  }
  const std::lock_guard lock(mutex);
  ASSERT_EQ(bodies.size(), 2u);
  EXPECT_EQ(bodies[0], bodies[1]);
  const std::string text = readable(bodies[0]);
  std::size_t at = 0;
  for (int i = 0; i < kRecords; ++i) {
    at = text.find(fmt::format("marker-{}", i), at);
    ASSERT_NE(at, text.npos) << "record " << i << " in " << text;
  }
}

std::string type_name(const ::testing::TestParamInfo<const ConnectorDescriptor*>& info) {
  return std::string(info.param->type);
}

INSTANTIATE_TEST_SUITE_P(All, Conformance, ::testing::ValuesIn(types_that_go_out()), type_name);

}  // namespace
}  // namespace sluice::connectors
