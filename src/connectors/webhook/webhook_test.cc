#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <mutex>
#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/webhook/config.h"
#include "connectors/webhook/outcome.h"
#include "connectors/webhook/request.h"
#include "connectors/webhook/shown.h"
#include "egress/testing/run.h"
#include "egress/testing/test_server.h"
#include "formats/csv.h"

namespace sluice::connectors::webhook {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using egress::testing::Peer;
using egress::testing::TestServer;
using testing::as;
using testing::TestChunk;

RecordBatch batch_of(std::vector<RecordRun> runs) {
  RecordBatch batch = testing::batch_of(std::move(runs));
  batch.previous = Offset{98};
  batch.attempt = 3;
  return batch;
}

std::string body_of(const egress::HttpRequest& request) {
  std::string body;
  for (const std::string_view part : request.body) body += part;
  return body;
}

Config config_of(const json& credentials) {
  const Result<Config> config = read_config(credentials);
  EXPECT_TRUE(config.has_value()) << config.error().message;
  return *config;
}

Config config_with_headers(std::vector<std::string> headers) {
  return config_of({{"url", "https://example.com/in"}, {"headers", std::move(headers)}});
}

std::string header_fault(const std::string& header) {
  const Result<Config> config =
      read_config({{"url", "https://example.com/in"}, {"headers", json::array({"a:b", header})}});
  if (config.has_value()) return "accepted";
  EXPECT_EQ(config.error().code, ErrorCode::InvalidArgument);
  return config.error().message;
}

// ---- settings

TEST(WebhookConfig, HasTheDefaultsOfItsSchema) {
  const Config config = config_of({{"url", "https://example.com/in?key=1#x"}});
  EXPECT_EQ(config.method, "POST");
  EXPECT_EQ(config.size, 3000u);
  EXPECT_TRUE(config.headers.empty());
  EXPECT_EQ(config.shown_url, "https://example.com/in");
  const json schema = json::parse(find_connector("RestAPI")->schema_json);
  for (const json& field : schema.at("fields")) {
    if (field.at("key") == "method") {
      EXPECT_EQ(field.at("default"), config.method);
    }
    if (field.at("key") == "size") {
      EXPECT_EQ(field.at("default"), config.size);
    }
  }
}

TEST(WebhookConfig, LimitsFollowSize) {
  const ConnectorDescriptor& descriptor = *find_connector("RestAPI");
  EXPECT_EQ(descriptor.limits({{"url", "http://a/"}}).records_max, 3000u);
  EXPECT_EQ(descriptor.limits({{"url", "http://a/"}, {"size", 1}}).records_max, 1u);
  EXPECT_EQ(descriptor.limits({{"url", "http://a/"}}).bytes_max, 5u * 1024 * 1024);
}

TEST(WebhookConfig, NamesThePropertyOfABadUrl) {
  const Result<void> result = find_connector("RestAPI")->validate({{"url", "ftp://example.com"}});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::InvalidArgument);
  EXPECT_EQ(result.error().message,
            "destination.credentials.url: the URL must begin with http:// or https://");
}

TEST(WebhookConfig, SplitsHeadersAtTheFirstColonAndTrimsTheValue) {
  const Config config =
      config_with_headers({"X-A: \t b:c \t", "x_b:", "Authorization:Bearer t", "X-C:\xc3\xa9"});
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"X-A", "b:c"}, {"x_b", ""}, {"Authorization", "Bearer t"}, {"X-C", "\xc3\xa9"}};
  EXPECT_EQ(config.headers, expected);
}

TEST(WebhookConfig, RefusesHeadersThatAreNone) {
  EXPECT_EQ(header_fault("no colon"),
            "destination.credentials.headers[1]: has no colon: write name:value");
  for (const std::string header :
       {":value", " X-A:b", "X-A :b", "X A:b", "X-\xc3\xa9:b", "X(A):b", "\"X\":b", "X\r\n:b"}) {
    EXPECT_NE(header_fault(header).find("headers[1]: has a name that is not a token"),
              std::string::npos)
        << header;
  }
  for (const std::string& value :
       {std::string("b\r\nX-C: d"), std::string("b\nc"), std::string("b\0c", 3),
        std::string("\x1b[0m"), std::string("b\x7f"), std::string("secret\r")}) {
    const std::string fault = header_fault("X-A:" + value);
    EXPECT_EQ(fault,
              "destination.credentials.headers[1]: X-A has a control character in its value");
  }
  EXPECT_NE(header_fault("X-A:" + std::string(9000, 'x')).find("longer than"), std::string::npos);
}

TEST(WebhookConfig, RefusesHeadersThatAreNotTheCustomers) {
  for (const std::string name :
       {"Host", "content-length", "Transfer-Encoding", "CONNECTION", "webhook-id",
        "Webhook-Anything", "webhook-signature", "X-Sluice-Stream", "x-sluice-new",
        "X-Dt-Signature", "DT-Asymmetric-Signature", "Expect", "TE", "Upgrade"}) {
    EXPECT_EQ(header_fault(name + ": v"),
              "destination.credentials.headers[1]: " + name + " is set by Sluice itself");
  }
  for (const std::string name :
       {"Content-Type", "User-Agent", "Authorization", "X-Sluice", "webhook", "X-Host", "Hosts"}) {
    EXPECT_EQ(header_fault(name + ": v"), "accepted");
  }
}

// ---- request

TEST(WebhookRequest, CarriesWhatEveryRequestCarries) {
  const TestChunk chunk(Offset{100}, {R"({"id":1})", R"({"id":2})", R"({"id":3})"});
  const TestChunk other(Offset{103}, {R"({"id":4})", R"({"id":5})"});
  const Config config = config_of({{"url", "https://example.com/in?k=1"},
                                   {"method", "PUT"},
                                   {"headers", {"X-Key: k"}},
                                   {"size", 10}});
  const RecordBatch batch = batch_of({chunk.run(0, 1), chunk.run(2, 3), other.run(0, 2)});
  const egress::HttpRequest request =
      build_request(config, batch, WallTime{1'700'000'000'999}, "node-a");
  EXPECT_EQ(request.organisation, OrganisationId{399921});
  EXPECT_EQ(request.method, "PUT");
  EXPECT_EQ(request.url, "https://example.com/in?k=1");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"Content-Type", "application/json"},
      {"User-Agent", "Sluice/" SLUICE_VERSION},
      {"webhook-id", "7-1-100-104"},
      {"webhook-timestamp", "1700000000"},
      {"X-Sluice-Stream", "7"},
      {"X-Sluice-Offsets", "100-104"},
      {"X-Sluice-Previous", "98"},
      {"X-Sluice-Attempt", "3"},
      {"X-Sluice-Hops", "node-a:1"},
      {"X-Key", "k"}};
  EXPECT_EQ(request.headers, expected);
  EXPECT_EQ(body_of(request), R"([{"id":1},{"id":3},{"id":4},{"id":5}])");
}

TEST(WebhookRequest, AStreamsFirstHasNoPrevious) {
  const TestChunk chunk(Offset{100}, {"{}"});
  RecordBatch batch = batch_of({chunk.run(0, 1)});
  batch.previous.reset();
  const auto request = build_request(config_of({{"url", "http://a/"}}), batch, WallTime{}, "n");
  for (const auto& [name, value] : request.headers) EXPECT_NE(name, "X-Sluice-Previous");
}

TEST(WebhookRequest, OwnHeadersReplaceContentTypeAndUserAgent) {
  const TestChunk chunk(Offset{100}, {"{}"});
  const Config config = config_with_headers({"content-type: text/plain", "USER-AGENT: me"});
  const auto request = build_request(config, batch_of({chunk.run(0, 1)}), WallTime{}, "n");
  int types = 0;
  int agents = 0;
  for (const auto& [name, value] : request.headers) {
    types += name == "content-type" && value == "text/plain" ? 1 : 0;
    agents += name == "USER-AGENT" && value == "me" ? 1 : 0;
    EXPECT_NE(name, "Content-Type");
    EXPECT_NE(name, "User-Agent");
  }
  EXPECT_EQ(types, 1);
  EXPECT_EQ(agents, 1);
}

// The form of the body follows the setting, so that a receiver sees one form: a batch of one in a
// stream of many is still an array.
TEST(WebhookRequest, SizeDecidesTheFormOfTheBody) {
  const TestChunk chunk(Offset{100}, {R"({"a":1})", R"({"b":2})"});
  const RecordBatch one = batch_of({chunk.run(1, 2)});
  EXPECT_EQ(body_of(build_request(config_of({{"url", "http://a/"}, {"size", 1}}), one, {}, "n")),
            R"({"b":2})");
  EXPECT_EQ(body_of(build_request(config_of({{"url", "http://a/"}, {"size", 2}}), one, {}, "n")),
            R"([{"b":2}])");
}

TEST(WebhookRequest, AFormatIsRenderedAndNamed) {
  const TestChunk usage(Offset{0}, {R"({"id":1,"cost":0.5})", "{\"id\":\n2}"}, Kind::Usage);
  const RecordBatch batch = batch_of({usage.run(0, 1), usage.run(1, 2)});
  const auto sent = [&batch](Format format) {
    Config config = config_of({{"url", "http://a/"}});
    config.format = format;
    const RenderedBody rendered = render_body(config, batch);
    const auto request = build_request(config, batch, {}, "n", rendered);
    for (const auto& [name, value] : request.headers) {
      if (name == "Content-Type") return value + "\n" + body_of(request);
    }
    return std::string();
  };
  EXPECT_EQ(sent(Format::Json), "application/json\n[{\"id\":1,\"cost\":0.5},{\"id\":\n2}]");
  EXPECT_EQ(sent(Format::JsonLines), "application/x-ndjson\n{\"id\":1,\"cost\":0.5}\n{\"id\":2}\n");
  const std::string csv = "text/csv; charset=utf-8\n" + formats::Csv::header(Kind::Usage);
  EXPECT_EQ(sent(Format::Csv).substr(0, csv.size()), csv);
  const std::string rows = sent(Format::Csv).substr(csv.size());
  EXPECT_TRUE(rows.starts_with("\"1\",")) << rows;
  EXPECT_NE(rows.find("\"0.5000000000\""), rows.npos) << rows;
  EXPECT_NE(rows.find("\n\"2\","), rows.npos) << rows;
}

TEST(WebhookRequest, IsCompressedWhereAsked) {
  const TestChunk chunk(Offset{0}, {R"({"id":1})", R"({"id":2})"});
  const RecordBatch batch = batch_of({chunk.run(0, 2)});
  const Config config = config_of({{"url", "http://a/"}, {"compression", "gzip"}});
  const RenderedBody rendered = render_body(config, batch);
  EXPECT_EQ(rendered.bytes, R"([{"id":1},{"id":2}])");
  const auto request = build_request(config, batch, {}, "n", rendered);
  EXPECT_EQ(body_of(request), rendered.packed);
  EXPECT_TRUE(rendered.packed.starts_with("\x1f\x8b"));
  EXPECT_EQ(rendered.packed, render_body(config, batch).packed) << "the same at each attempt";
  EXPECT_NE(std::find(request.headers.begin(), request.headers.end(),
                      std::pair<std::string, std::string>("Content-Encoding", "gzip")),
            request.headers.end());
  EXPECT_FALSE(
      read_config(
          {{"url", "http://a/"}, {"compression", "gzip"}, {"headers", {"content-encoding: br"}}})
          .has_value());
}

TEST(WebhookConfig, CsvIsForStreamsOfOneKind) {
  const ConnectorDescriptor& type = *find_connector("RestAPI");
  const auto fits = [&type](const char* format, KindSet kinds) {
    return type.fits({{"format", format}}, {kinds}).has_value();
  };
  EXPECT_TRUE(fits("Csv", {Kind::Usage}));
  EXPECT_TRUE(fits("Csv", {Kind::Event}));
  EXPECT_FALSE(fits("Csv", {Kind::Usage, Kind::Event}));
  EXPECT_TRUE(fits("JsonLines", {Kind::Usage, Kind::Event}));
}

TEST(WebhookRequest, ATestSaysSo) {
  const TestChunk chunk(Offset{0}, {"{}"});
  RecordBatch batch = batch_of({chunk.run(0, 1)});
  const auto headers_of = [&] {
    return build_request(config_of({{"url", "http://a/"}}), batch, {}, "n").headers;
  };
  const std::pair<std::string, std::string> mark = {"X-Sluice-Test", "true"};
  const auto marked = [&](const auto& headers) {
    return std::find(headers.begin(), headers.end(), mark) != headers.end();
  };
  EXPECT_FALSE(marked(headers_of()));
  batch.test = true;
  EXPECT_TRUE(marked(headers_of()));
}

TEST(WebhookRequest, DoesNotCopyRecords) {
  const TestChunk chunk(Offset{100}, {R"({"a":1})", R"({"b":2})"});
  const RecordBatch batch = batch_of({chunk.run(0, 2)});
  const auto request = build_request(config_of({{"url", "http://a/"}}), batch, {}, "n");
  ASSERT_EQ(request.body.size(), 3u);
  EXPECT_EQ(request.body[1].data(), batch.runs[0].chunk->joined.data());
}

// ---- outcomes

egress::HttpResponse answer(int status, std::string body = "") {
  egress::HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

TEST(WebhookOutcome, FollowsTheTable) {
  const Config config = config_of({{"url", "https://example.com/in?key=hidden"}});
  for (int status = 100; status < 600; ++status) {
    SCOPED_TRACE(status);
    const SendOutcome outcome = classify(answer(status), config);
    EXPECT_EQ(outcome.remote_status, status);
    EXPECT_TRUE(outcome.answered);
    if (status >= 200 && status < 300) {
      EXPECT_TRUE(as<Delivered>(outcome));
    } else if (status == 408 || status == 425 || status == 429 || status >= 500) {
      EXPECT_TRUE(as<RetryLater>(outcome));
    } else if (status == 400 || status == 413 || status == 422) {
      EXPECT_TRUE(as<Rejected>(outcome));
    } else if (status == 410) {
      EXPECT_TRUE(as<Gone>(outcome));
    } else {
      EXPECT_TRUE(as<Misconfigured>(outcome));
    }
  }
}

TEST(WebhookOutcome, Success200TakesNoOther2xx) {
  Config config = config_of({{"url", "https://example.com/in"}});
  config.success_200_only = true;
  EXPECT_TRUE(as<Delivered>(classify(answer(200), config)));
  for (const int status : {201, 202, 204, 299}) {
    EXPECT_TRUE(as<RetryLater>(classify(answer(status), config))) << status;
  }
}

TEST(WebhookOutcome, HandsRetryAfterOn) {
  egress::HttpResponse response = answer(429);
  response.retry_after = 30s;
  const SendOutcome outcome = classify(response, config_of({{"url", "http://a/"}}));
  ASSERT_TRUE(as<RetryLater>(outcome));
  EXPECT_EQ(as<RetryLater>(outcome)->after, 30s);
}

TEST(WebhookOutcome, ReasonsAreSentencesWithoutSecrets) {
  const Config config = config_of({{"url", "https://example.com/in?key=hidden-key"},
                                   {"headers", {"Authorization: Bearer s3cret", "X-Short: ab"}}});
  const SendOutcome outcome = classify(
      answer(404,
             "no route\r\n\tfor Bearer s3cret, s3cret at /in?key=hidden-key\x1b[31m \xff\xfe."),
      config);
  ASSERT_TRUE(as<Misconfigured>(outcome));
  EXPECT_EQ(as<Misconfigured>(outcome)->reason,
            "the receiver answered 404 Not Found to POST https://example.com/in: "
            "no route for ***, *** at /in?***?[31m ?.");
  EXPECT_EQ(as<Misconfigured>(classify(answer(418, " \n"), config))->reason,
            "the receiver answered 418 to POST https://example.com/in");

  const std::string reason =
      as<RetryLater>(classify(answer(500, std::string(60'000, 'x')), config))->reason;
  EXPECT_LT(reason.size(), 300u);
  // A secret that would be cut by the limit is masked as well.
  const std::string cut =
      as<RetryLater>(classify(answer(500, std::string(195, 'x') + "Bearer s3cret"), config))
          ->reason;
  EXPECT_EQ(cut.find("Bear"), std::string::npos) << cut;
}

TEST(WebhookOutcome, ErrorsHaveTheirStatus) {
  const Config config = config_of({{"url", "https://example.com/in?key=hidden"}});
  const auto outcome = [&config](ErrorCode code) {
    return classify(Error{code, "why"}, Fault::Network, config);
  };
  const SendOutcome refused = outcome(ErrorCode::InvalidArgument);
  ASSERT_TRUE(as<Misconfigured>(refused));
  EXPECT_EQ(as<Misconfigured>(refused)->reason, "POST https://example.com/in: why");
  EXPECT_EQ(refused.remote_status, 500);
  EXPECT_FALSE(refused.answered);
  EXPECT_TRUE(as<RetryLater>(outcome(ErrorCode::Timeout)));
  EXPECT_EQ(outcome(ErrorCode::Timeout).remote_status, 504);
  EXPECT_TRUE(as<RetryLater>(outcome(ErrorCode::Unavailable)));
  EXPECT_EQ(outcome(ErrorCode::Unavailable).remote_status, 502);
  EXPECT_EQ(outcome(ErrorCode::Cancelled).remote_status, 0);
  EXPECT_EQ(outcome(ErrorCode::Unavailable).fault, Fault::Network);
}

// ---- what is shown of it

TEST(WebhookShown, HoldsNoSecretOfTheStreams) {
  const Config config = config_of(
      {{"url", "https://example.com/in?key=hidden-key"},
       {"headers", {"Authorization: Bearer s3cret", "User-Agent: mine-9", "X-Own: word-1"}}});
  const TestChunk chunk(Offset{100}, {R"({"a":1})", R"({"b":2})"});
  egress::HttpRequest request =
      build_request(config, batch_of({chunk.run(0, 2)}), WallTime{1'700'000'000'000}, "node-a");
  request.headers.emplace_back("X-Dt-Signature", "not-known-here");
  Exchange exchange;
  show_request(request, config, exchange);
  EXPECT_FALSE(exchange.answered);
  EXPECT_EQ(exchange.request_body, R"([{"a":1},{"b":2}])");
  EXPECT_EQ(exchange.request_headers,
            "Content-Type: application/json\n"
            "webhook-id: 7-1-100-101\n"
            "webhook-timestamp: 1700000000\n"
            "X-Sluice-Stream: 7\n"
            "X-Sluice-Offsets: 100-101\n"
            "X-Sluice-Previous: 98\n"
            "X-Sluice-Attempt: 3\n"
            "X-Sluice-Hops: node-a:1\n"
            "Authorization: ***\n"
            "User-Agent: ***\n"
            "X-Own: ***\n"
            "X-Dt-Signature: ***\n");

  egress::HttpResponse response = answer(401, "not s3cret, nor Bearer s3cret or word-1");
  response.headers = {{"Server", "s3cret/1"}, {"Set-Cookie", "session=1"}, {"X", "key=hidden-key"}};
  show_response(response, config, exchange);
  EXPECT_TRUE(exchange.answered);
  EXPECT_EQ(exchange.response_headers, "Server: ***/1\nSet-Cookie: ***\nX: ***\n");
  EXPECT_EQ(exchange.response_body, "not ***, nor *** or ***");
}

TEST(WebhookShown, NoHalfOfASecretIsLeftWhereABodyIsCut) {
  const Config config = config_with_headers({"X-Key: s3cret-s3cret"});
  Exchange exchange;
  show_response(answer(500, std::string(4090, 'x') + "s3cret-s3cret"), config, exchange);
  EXPECT_EQ(exchange.response_body, std::string(4090, 'x') + "***");
}

// ---- the whole connector against a server

class WebhookConnectorTest : public ::testing::Test {
 protected:
  WebhookConnectorTest() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, settings);
  }

  std::unique_ptr<Connector> create(const json& credentials) {
    const json settings = {{"connection_type", "RestAPI"}, {"credentials", credentials}};
    return find_connector("RestAPI")->create({.organisation = OrganisationId{399921},
                                              .stream = StreamId{7},
                                              .settings = settings,
                                              .success_200_only = false},
                                             {*http_, clock_, "node-a"});
  }
  SendOutcome send(Connector& connector, const RecordBatch& batch,
                   std::chrono::milliseconds time = 10s) {
    return egress::testing::run(loop_, connector.send(batch, clock_.steady() + time));
  }
  Result<void> check(Connector& connector) {
    return egress::testing::run(loop_, connector.check(clock_.steady() + 10s));
  }

  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  const TestChunk chunk_{Offset{100}, {R"({"a":1})", R"({"b":2})"}};
  const RecordBatch batch_ = batch_of({chunk_.run(0, 2)});
};

TEST_F(WebhookConnectorTest, DeliversABatch) {
  std::mutex mutex;
  egress::testing::Request seen;
  TestServer server([&](Peer& peer) {
    while (auto request = peer.read_request()) {
      {
        const std::lock_guard lock(mutex);
        seen = *request;
      }
      peer.answer(204);
    }
  });
  const auto connector = create({{"url", fmt::format("http://127.0.0.1:{}/in", server.port())}});
  const SendOutcome outcome = send(*connector, batch_);
  EXPECT_TRUE(as<Delivered>(outcome));
  EXPECT_EQ(outcome.remote_status, 204);
  ASSERT_NE(outcome.exchange, nullptr);
  EXPECT_TRUE(outcome.exchange->answered);
  EXPECT_EQ(outcome.exchange->request_body, R"([{"a":1},{"b":2}])");
  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen.body, R"([{"a":1},{"b":2}])");
  EXPECT_NE(seen.head.find("webhook-id: 7-1-100-101\r\n"), std::string::npos) << seen.head;
}

TEST_F(WebhookConnectorTest, ReportsTheReceiversTrouble) {
  TestServer silent([](Peer& peer) { peer.wait(1h); });
  TestServer gone([](Peer& peer) {
    while (peer.read_request().has_value()) peer.answer(410);
  });
  const auto url = [](const TestServer& server) {
    return json{{"url", fmt::format("http://127.0.0.1:{}/in", server.port())}};
  };
  const SendOutcome late = send(*create(url(silent)), batch_, 100ms);
  EXPECT_EQ(late.remote_status, 504);
  EXPECT_EQ(late.fault, Fault::Destination);
  ASSERT_NE(late.exchange, nullptr);
  EXPECT_FALSE(late.exchange->answered);
  EXPECT_NE(late.exchange->request_headers.find("webhook-id: 7-1-100-101\n"), std::string::npos);
  EXPECT_TRUE(as<Gone>(send(*create(url(gone)), batch_)));
  const SendOutcome refused = send(*create({{"url", "http://10.1.2.3/"}}), batch_);
  ASSERT_TRUE(as<Misconfigured>(refused));
  EXPECT_EQ(refused.remote_status, 500);
}

TEST_F(WebhookConnectorTest, ChecksWithoutARequest) {
  std::atomic<int> bytes = 0;
  {
    TestServer server([&](Peer& peer) { bytes += static_cast<int>(peer.read(100).size()); });
    const auto connector = create({{"url", fmt::format("http://127.0.0.1:{}/in", server.port())}});
    EXPECT_TRUE(check(*connector).has_value());
  }
  EXPECT_EQ(bytes, 0);
  EXPECT_EQ(check(*create({{"url", "http://10.1.2.3/"}})).error().code, ErrorCode::InvalidArgument);
}

// The catalog may hold settings from before a rule became stricter.
TEST_F(WebhookConnectorTest, SettingsThatAreNoLongerValidStopTheStreamAndNotTheServer) {
  const auto connector =
      create({{"url", "http://127.0.0.1/"}, {"headers", json::array({"Host: x"})}});
  const SendOutcome outcome = send(*connector, batch_);
  ASSERT_TRUE(as<Misconfigured>(outcome));
  EXPECT_EQ(outcome.remote_status, 500);
  EXPECT_FALSE(check(*connector).has_value());
}

}  // namespace
}  // namespace sluice::connectors::webhook
