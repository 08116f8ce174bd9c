#include "egress/http_client.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdio>
#include <fstream>
#include <mutex>

#include "egress/resolver.h"
#include "egress/testing/run.h"
#include "egress/testing/test_dns.h"
#include "egress/testing/test_server.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::Peer;
using testing::TestServer;

const testing::Identity& authority() {
  static const testing::Identity identity = testing::make_authority();
  return identity;
}

// A file that is gone with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content) {
    const int fd = ::mkstemp(path_.data());
    ::close(fd);
    std::ofstream(path_) << content;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = ::testing::TempDir() + "sluice-XXXXXX";
};

struct Client {
  asio::io_context loop{1};
  SystemClock clock;
  HttpClient http;

  explicit Client(Settings settings = local_settings()) : http(loop, clock, std::move(settings)) {}

  static Settings local_settings() {
    Settings settings;
    settings.allow = {"127.0.0.0/8"};
    return settings;
  }
  Result<HttpResponse> perform(HttpRequest request, std::chrono::milliseconds time = 10s) {
    return testing::run(loop, http.perform(std::move(request), clock.steady() + time));
  }
  Result<void> probe(std::string url, std::chrono::milliseconds time = 10s) {
    return testing::run(loop, http.probe(std::move(url), OrganisationId{1}, clock.steady() + time));
  }
};

std::string url_of(const TestServer& server, std::string_view path = "/in") {
  return fmt::format("http://127.0.0.1:{}{}", server.port(), path);
}

HttpRequest post(std::string url, std::vector<std::string_view> body = {"[{}]"}) {
  HttpRequest request;
  request.organisation = OrganisationId{1};
  request.url = std::move(url);
  request.body = std::move(body);
  return request;
}

void answer_all(Peer& peer) {
  while (peer.read_request().has_value()) peer.answer(200);
}

TEST(HttpClient, SendsTheGatheredBodyAndGivesBackTheAnswer) {
  std::mutex mutex;
  testing::Request seen;
  TestServer server([&](Peer& peer) {
    while (auto request = peer.read_request()) {
      {
        const std::lock_guard lock(mutex);
        seen = *request;
      }
      peer.answer(202, "X-A: b\r\n", "thanks");
    }
  });
  Client client;
  HttpRequest request = post(url_of(server, "/in?key=1"), {"[", "{\"a\":1}", "", ",", "{}", "]"});
  request.headers = {{"Content-Type", "application/json"}, {"X-Empty", ""}};
  const Result<HttpResponse> response = client.perform(request);
  ASSERT_TRUE(response.has_value()) << response.error().message;
  EXPECT_EQ(response->status, 202);
  EXPECT_EQ(response->body, "thanks");
  const std::pair<std::string, std::string> header = {"X-A", "b"};
  EXPECT_EQ(response->headers.at(0), header);
  EXPECT_FALSE(response->retry_after.has_value());

  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen.body, "[{\"a\":1},{}]");
  EXPECT_EQ(seen.head.substr(0, seen.head.find('\r')), "POST /in?key=1 HTTP/1.1");
  EXPECT_NE(seen.head.find("\r\nContent-Length: 12\r\n"), std::string::npos) << seen.head;
  EXPECT_NE(seen.head.find(fmt::format("\r\nHost: 127.0.0.1:{}\r\n", server.port())),
            std::string::npos)
      << seen.head;
  EXPECT_NE(seen.head.find("\r\nContent-Type: application/json\r\n"), std::string::npos);
  EXPECT_NE(seen.head.find("\r\nX-Empty:\r\n"), std::string::npos) << seen.head;
  EXPECT_EQ(seen.head.find("Expect"), std::string::npos) << seen.head;
  EXPECT_EQ(seen.head.find("Transfer-Encoding"), std::string::npos) << seen.head;
}

TEST(HttpClient, SendsLargeBodiesWhole) {
  std::string body(7'000'001, 'x');
  for (std::size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('a' + i % 26);
  std::mutex mutex;
  std::string seen;
  TestServer server([&](Peer& peer) {
    while (auto request = peer.read_request()) {
      {
        const std::lock_guard lock(mutex);
        seen = request->body;
      }
      peer.answer(200);
    }
  });
  Client client;
  const std::string_view view = body;
  const Result<HttpResponse> response = client.perform(
      post(url_of(server), {view.substr(0, 1), view.substr(1, 3'000'000), view.substr(3'000'001)}));
  ASSERT_TRUE(response.has_value()) << response.error().message;
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(seen == body);
}

TEST(HttpClient, EveryStatusIsAValueAndRedirectsAreNotFollowed) {
  for (const int status :
       {200, 204, 301, 302, 307, 400, 401, 403, 404, 408, 410, 418, 429, 500, 503, 599}) {
    TestServer server([&](Peer& peer) {
      while (peer.read_request().has_value()) {
        peer.answer(status, fmt::format("Location: http://127.0.0.1:{}/away\r\n", 9));
      }
    });
    Client client;
    const Result<HttpResponse> response = client.perform(post(url_of(server)));
    ASSERT_TRUE(response.has_value()) << status << response.error().message;
    EXPECT_EQ(response->status, status);
    EXPECT_EQ(server.connections(), 1);
  }
}

TEST(HttpClient, UsesTheMethodsOfWebhooks) {
  for (const std::string method : {"POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"}) {
    std::mutex mutex;
    std::string line;
    TestServer server([&](Peer& peer) {
      while (auto request = peer.read_request()) {
        {
          const std::lock_guard lock(mutex);
          line = request->head.substr(0, request->head.find('\r'));
        }
        peer.answer(200);
      }
    });
    Client client;
    HttpRequest request = post(url_of(server), {});
    request.method = method;
    const Result<HttpResponse> response = client.perform(request);
    ASSERT_TRUE(response.has_value()) << method << response.error().message;
    const std::lock_guard lock(mutex);
    EXPECT_EQ(line, method + " /in HTTP/1.1");
  }
}

TEST(HttpClient, ReadsRetryAfter) {
  TestServer server([](Peer& peer) {
    while (peer.read_request().has_value()) peer.answer(503, "retry-after: 120 \r\n");
  });
  Client client;
  const Result<HttpResponse> response = client.perform(post(url_of(server)));
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->retry_after, 120s);
}

TEST(HttpClient, SkipsInformationalAnswers) {
  TestServer server([](Peer& peer) {
    while (peer.read_request().has_value()) {
      peer.write("HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n");
      peer.answer(201);
    }
  });
  Client client;
  const Result<HttpResponse> response = client.perform(post(url_of(server)));
  ASSERT_TRUE(response.has_value()) << response.error().message;
  EXPECT_EQ(response->status, 201);
  EXPECT_FALSE(response->retry_after.has_value());
}

TEST(HttpClient, RefusesRequestsThatWouldBreakTheHead) {
  TestServer server(answer_all);
  Client client;
  HttpRequest request = post(url_of(server));
  request.headers = {{"X-A", "b\r\nX-C: d"}};
  EXPECT_EQ(client.perform(request).error().code, ErrorCode::InvalidArgument);
  request.headers = {{"X A", "b"}};
  EXPECT_EQ(client.perform(request).error().code, ErrorCode::InvalidArgument);
  request.headers = {};
  request.method = "POST /evil HTTP/1.1\r\nX: y";
  EXPECT_EQ(client.perform(request).error().code, ErrorCode::InvalidArgument);
  EXPECT_EQ(server.connections(), 0);
}

// ---- connections

TEST(HttpClientConnections, AnOrganisationReusesItsConnectionAndSharesItWithNoOther) {
  TestServer server(answer_all);
  Client client;
  for (const std::uint64_t organisation : {1, 1, 2, 2, 1, 2}) {
    HttpRequest request = post(url_of(server));
    request.organisation = OrganisationId{organisation};
    ASSERT_TRUE(client.perform(request).has_value());
  }
  EXPECT_EQ(server.connections(), 2);
}

TEST(HttpClientConnections, AConnectionThatTheServerClosedInTheMeantimeIsReplaced) {
  TestServer server([](Peer& peer) {
    if (peer.read_request().has_value()) peer.answer(200);
    // Hangs up without having announced it.
  });
  Client client;
  for (int i = 0; i < 20; ++i) {
    const Result<HttpResponse> response = client.perform(post(url_of(server)));
    // The hang-up may also cross the next request on its way.
    if (!response.has_value()) {
      EXPECT_EQ(response.error().code, ErrorCode::Unavailable);
    } else {
      EXPECT_EQ(response->status, 200);
    }
  }
}

// A reused connection that dies after the body has been taken must not make curl send it again.
TEST(HttpClientConnections, ABodyIsNeverSentTwiceByOneAttempt) {
  std::atomic<int> bodies = 0;
  std::atomic<int> strays = 0;
  {
    TestServer server([&](Peer& peer) {
      if (peer.number() > 1) {  // libcurl may connect once more before it sees that it must not
        strays += static_cast<int>(peer.read(1000).size());
        return;
      }
      if (!peer.read_request().has_value()) return;
      ++bodies;
      peer.answer(200);
      if (peer.read_request().has_value()) ++bodies;
      peer.reset();
    });
    Client client;
    ASSERT_TRUE(client.perform(post(url_of(server))).has_value());
    const Result<HttpResponse> second = client.perform(post(url_of(server)));
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, ErrorCode::Unavailable);
  }
  EXPECT_EQ(bodies, 2);
  EXPECT_EQ(strays, 0);
}

TEST(HttpClientConnections, WaitAtTheLimitOfAHost) {
  TestServer server(answer_all);
  Settings settings = Client::local_settings();
  settings.connections_per_host_max = 3;
  Client client(settings);
  std::array<std::optional<Result<HttpResponse>>, 50> results;
  std::size_t ended = 0;
  for (auto& result : results) {
    const SteadyTime deadline = client.clock.steady() + 30s;
    asio::co_spawn(client.loop,
                   testing::store(client.http.perform(post(url_of(server)), deadline), result),
                   [&](std::exception_ptr) {
                     if (++ended == results.size()) client.loop.stop();
                   });
  }
  client.loop.run();
  for (const auto& result : results) EXPECT_TRUE(result->has_value());
  EXPECT_LE(server.connections(), 3);
}

TEST(HttpClientConnections, RefusedIsUnavailable) {
  std::uint16_t port = 0;
  {
    TestServer server(answer_all);
    port = server.port();
  }
  Client client;
  const auto result = client.perform(post(fmt::format("http://127.0.0.1:{}/", port)));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Unavailable);
  EXPECT_EQ(result.error().message, fmt::format("connection refused by 127.0.0.1:{}", port));
}

TEST(HttpClientConnections, HangingUpIsUnavailable) {
  const std::string body(4'000'000, 'x');
  const std::vector<TestServer::Script> scripts = {
      [](Peer&) {},                             // before reading anything
      [](Peer& peer) { peer.read_head(); },     // before the body
      [](Peer& peer) { peer.read_request(); },  // after the body
      [](Peer& peer) {
        peer.read_request();
        peer.reset();
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 2");
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("220 smtp.example ESMTP\r\n\r\n");
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 100 Continue\r\n\r\n");
      },
  };
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    SCOPED_TRACE(i);
    TestServer server(scripts[i]);
    Client client;
    const auto result = client.perform(post(url_of(server), {body}));
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::Unavailable) << result.error().message;
    RecordProperty(fmt::format("message{}", i), result.error().message);
  }
}

// ---- deadlines

TEST(HttpClientDeadline, ASilentServerTimesOut) {
  TestServer server([](Peer& peer) {
    peer.read_request();
    peer.wait(1h);
  });
  Client client;
  const auto result = client.perform(post(url_of(server)), 150ms);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Timeout);
  EXPECT_NE(result.error().message.find("waiting for the status line"), std::string::npos)
      << result.error().message;
}

TEST(HttpClientDeadline, AHeadThatDripsTimesOut) {
  TestServer server([](Peer& peer) {
    peer.read_request();
    for (const char c : std::string("HTTP/1.1")) {
      if (!peer.write(std::string(1, c)) || !peer.wait(60ms)) return;
    }
  });
  Client client;
  EXPECT_EQ(client.perform(post(url_of(server)), 200ms).error().code, ErrorCode::Timeout);
}

TEST(HttpClientDeadline, AServerThatReadsSlowlyTimesOut) {
  const std::string body(30'000'000, 'x');
  TestServer server([](Peer& peer) {
    while (!peer.read(10).empty() && peer.wait(100ms)) {
    }
  });
  Client client;
  const auto result = client.perform(post(url_of(server), {body}), 300ms);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Timeout);
  EXPECT_NE(result.error().message.find("sending the body ("), std::string::npos)
      << result.error().message;
}

TEST(HttpClientDeadline, APassedOneEndsAtOnce) {
  TestServer server(answer_all);
  Client client;
  EXPECT_EQ(client.perform(post(url_of(server)), -1s).error().code, ErrorCode::Timeout);
}

// ---- the answer's body never turns a status into an error

TEST(HttpClientBody, AnEndlessOneIsCutAt64KiB) {
  TestServer server([](Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const std::string block(1 << 16, 'y');
    while (peer.write(block)) {
    }
  });
  Client client;
  const auto result = client.perform(post(url_of(server)));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 200);
  EXPECT_EQ(result->body.size(), 64u * 1024u);
}

TEST(HttpClientBody, OneThatDripsIsLeftAfterASecond) {
  TestServer server([](Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (peer.write("z") && peer.wait(20ms)) {
    }
  });
  Client client;
  const auto result = client.perform(post(url_of(server)));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 200);
  EXPECT_FALSE(result->body.empty());
}

TEST(HttpClientBody, TheStatusLineAloneCounts) {
  const std::vector<TestServer::Script> scripts = {
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\n");
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\nContent-Length: 10\r\n\r\nabc");
        peer.reset();
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\n");
        while (peer.write("X-Flood: " + std::string(1000, 'f') + "\r\n")) {
        }
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\n");
        peer.wait(1h);
      },
  };
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    SCOPED_TRACE(i);
    TestServer server(scripts[i]);
    Client client;
    const auto result = client.perform(post(url_of(server)));
    ASSERT_TRUE(result.has_value()) << result.error().message;
    EXPECT_EQ(result->status, 503);
    EXPECT_EQ(result->retry_after, 3s);
  }
}

TEST(HttpClientBody, ARefusalBeforeTheWholeRequestIsAnAnswer) {
  const std::string body(30'000'000, 'x');
  TestServer server([](Peer& peer) {
    peer.read_head();
    peer.answer(413, "Connection: close\r\n", "too much");
    peer.wait(1h);
  });
  Client client;
  const auto result = client.perform(post(url_of(server), {body}));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 413);
}

// A receiver cannot have taken what it has not read, so its 200 does not count.
TEST(HttpClientBody, ASuccessBeforeTheWholeRequestIsNone) {
  const std::string body(30'000'000, 'x');
  TestServer hangs_up([](Peer& peer) {
    peer.read_head();
    peer.answer(200);
  });
  TestServer stalls([](Peer& peer) {
    peer.read_head();
    peer.answer(200);
    peer.wait(1h);
  });
  Client client;
  EXPECT_EQ(client.perform(post(url_of(hangs_up), {body})).error().code, ErrorCode::Unavailable);
  EXPECT_EQ(client.perform(post(url_of(stalls), {body}), 300ms).error().code, ErrorCode::Timeout);
}

TEST(HttpClientBody, ASuccessGivenEarlyCountsOnceTheWholeRequestWasRead) {
  const std::string body(3'000'000, 'x');
  TestServer server([](Peer& peer) {
    peer.read_head();
    peer.answer(200);
    std::size_t got = 0;
    while (got < 3'000'000) {
      const std::string more = peer.read(1 << 16);
      if (more.empty()) return;
      got += more.size();
    }
    peer.wait(1h);
  });
  Client client;
  const auto result = client.perform(post(url_of(server), {body}));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 200);
}

// ---- addresses

TEST(HttpClientAddresses, AreRefusedUnlessAllowed) {
  TestServer server(answer_all);
  Client strict{Settings{}};
  for (const std::string host : {"127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254",
                                 "[::ffff:127.0.0.1]", "[fd00::1]", "100.64.0.1"}) {
    const std::string url = fmt::format("http://{}:{}/in?secret=1", host, server.port());
    const auto result = strict.perform(post(url));
    ASSERT_FALSE(result.has_value()) << host;
    EXPECT_EQ(result.error().code, ErrorCode::InvalidArgument) << result.error().message;
    EXPECT_EQ(result.error().message.find("secret"), std::string::npos);
    const auto probed = strict.probe(url);
    ASSERT_FALSE(probed.has_value()) << host;
    EXPECT_EQ(probed.error().code, ErrorCode::InvalidArgument) << probed.error().message;
  }
  EXPECT_EQ(
      strict.perform(post(fmt::format("http://localhost:{}/", server.port()))).error().message,
      "localhost resolves to 127.0.0.1, a loopback address: not a destination unless the "
      "operator's [egress] allow lists it");
  EXPECT_EQ(server.connections(), 0);
}

TEST(HttpClientAddresses, AnAllowedHostAndPortHoldsForThatHostAndPortAlone) {
  TestServer server(answer_all);
  TestServer other(answer_all);
  Settings settings;
  settings.allow = {fmt::format("localhost:{}", server.port())};
  Client client(settings);
  EXPECT_TRUE(client.perform(post(fmt::format("http://localhost:{}/", server.port()))).has_value());
  EXPECT_TRUE(client.perform(post(fmt::format("http://LocalHost:{}/", server.port()))).has_value());
  EXPECT_TRUE(client.probe(fmt::format("http://localhost:{}/", server.port())).has_value());
  EXPECT_FALSE(client.perform(post(fmt::format("http://localhost:{}/", other.port()))).has_value());
  EXPECT_FALSE(client.perform(post(url_of(server))).has_value());
  EXPECT_EQ(other.connections(), 0);
}

// An answer that mixes addresses does not smuggle the forbidden one in: 127.0.0.2 is allowed here,
// 127.0.0.1, where a server listens, is not.
TEST(HttpClientAddresses, OnlyTheAllowedOnesOfAnAnswerAreTried) {
  TestServer server(answer_all);
  testing::TestDns dns([](const std::string&) {
    return Addresses{asio::ip::make_address("127.0.0.1"), asio::ip::make_address("127.0.0.2")};
  });
  Settings settings;
  settings.allow = {"127.0.0.2/32"};
  settings.dns_servers = dns.servers();
  Client client(settings);
  const auto result = client.perform(post(fmt::format("http://mixed.example:{}/", server.port())));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message,
            fmt::format("connection refused by 127.0.0.2:{}", server.port()));
  EXPECT_EQ(server.connections(), 0);
}

// A name that was harmless when it was checked and turns inwards later (DNS rebinding).
TEST(HttpClientAddresses, ANameThatTurnsInwardsIsRefused) {
  TestServer server(answer_all);
  std::atomic<bool> inwards = false;
  testing::TestDns dns([&inwards](const std::string&) {
    return Addresses{asio::ip::make_address(inwards ? "127.0.0.2" : "127.0.0.1")};
  });
  Settings settings;
  settings.allow = {"127.0.0.1/32"};
  settings.dns_servers = dns.servers();
  settings.dns_cache = 0s;
  Client client(settings);
  const std::string url = fmt::format("http://rebind.example:{}/", server.port());
  ASSERT_TRUE(client.perform(post(url)).has_value());
  inwards = true;
  EXPECT_EQ(client.perform(post(url)).error().code, ErrorCode::InvalidArgument);
  EXPECT_EQ(client.probe(url).error().code, ErrorCode::InvalidArgument);
  inwards = false;
  EXPECT_TRUE(client.probe(url).has_value());
}

TEST(HttpClientAddresses, AChangedAnswerIsUsed) {
  TestServer server(answer_all);
  std::atomic<bool> moved = false;
  testing::TestDns dns([&moved](const std::string&) {
    return Addresses{asio::ip::make_address(moved ? "127.0.0.1" : "127.0.0.2")};
  });
  Settings settings = Client::local_settings();
  settings.dns_servers = dns.servers();
  settings.dns_cache = 0s;
  Client client(settings);
  const std::string url = fmt::format("http://moving.example:{}/", server.port());
  EXPECT_EQ(client.perform(post(url)).error().code, ErrorCode::Unavailable);
  moved = true;
  EXPECT_TRUE(client.perform(post(url)).has_value());
}

TEST(HttpClientAddresses, AnIPv6LiteralIsConnectedTo) {
  std::uint16_t port = 0;
  {
    TestServer server(answer_all);
    port = server.port();
  }
  Settings settings;
  settings.allow = {"::1/128"};
  Client client(settings);
  const auto result = client.perform(post(fmt::format("http://[0:0::1]:{}/", port)));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Unavailable);
  EXPECT_NE(result.error().message.find(fmt::format("[::1]:{}", port)), std::string::npos)
      << result.error().message;
}

TEST(HttpClientAddresses, ASilentDnsServerTimesOut) {
  testing::TestDns dns([](const std::string&) { return std::nullopt; });
  Settings settings;
  settings.dns_servers = dns.servers();
  Client client(settings);
  const auto result = client.perform(post("http://tarpit.example/"), 100ms);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Timeout);
  EXPECT_EQ(result.error().message, "DNS gave no answer for tarpit.example in time");
}

TEST(HttpClientAddresses, TheEnvironmentsProxyIsIgnored) {
  TestServer proxy(answer_all);
  TestServer server(answer_all);
  const std::string url = fmt::format("http://127.0.0.1:{}", proxy.port());
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) {
    ::setenv(name, url.c_str(), 1);
  }
  Client client;
  EXPECT_TRUE(client.perform(post(url_of(server))).has_value());
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) ::unsetenv(name);
  EXPECT_EQ(proxy.connections(), 0);
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClientAddresses, AProxyFromTheSettingsIsUsedAndTargetsAreStillChecked) {
  std::mutex mutex;
  std::string line;
  TestServer proxy([&](Peer& peer) {
    while (auto request = peer.read_request()) {
      const std::lock_guard lock(mutex);
      line = request->head.substr(0, request->head.find('\r'));
      peer.answer(200);
    }
  });
  Settings settings;
  settings.proxy = fmt::format("http://user:pass@127.0.0.1:{}", proxy.port());
  settings.allow = {"192.0.2.0/24"};
  Client client(settings);
  EXPECT_TRUE(client.perform(post("http://192.0.2.7/in")).has_value());
  EXPECT_TRUE(client.perform(post("http://192.0.2.7/in")).has_value());
  EXPECT_EQ(proxy.connections(), 2);  // nothing is kept behind a proxy
  {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(line, "POST http://192.0.2.7/in HTTP/1.1");
  }
  EXPECT_EQ(client.perform(post("http://10.0.0.1/in")).error().code, ErrorCode::InvalidArgument);
  EXPECT_EQ(client.perform(post("http://localhost/in")).error().code, ErrorCode::InvalidArgument);
  EXPECT_EQ(proxy.connections(), 2);
}

TEST(HttpClientAddresses, AProxyThatRefusesConnectIsNoAnswer) {
  TestServer proxy([](Peer& peer) {
    peer.read_request();
    peer.answer(403, "Connection: close\r\n");
  });
  Settings settings;
  settings.proxy = fmt::format("http://127.0.0.1:{}", proxy.port());
  settings.allow = {"192.0.2.0/24"};
  Client client(settings);
  const auto result = client.perform(post("https://192.0.2.7/in"));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Unavailable);
  EXPECT_EQ(result.error().message, "the proxy answered 403 to CONNECT");
}

// ---- TLS

struct TlsClient {
  TemporaryFile ca{authority().certificate};
  Client client{[this] {
    Settings settings = Client::local_settings();
    settings.ca_file = ca.path();
    return settings;
  }()};
};

std::string tls_url(const TestServer& server, std::string_view host = "localhost") {
  return fmt::format("https://{}:{}/in", host, server.port());
}

TEST(HttpClientTls, VerifiesAgainstItsOwnAuthorityAndReusesTheConnection) {
  TestServer server(answer_all, testing::make_certificate(authority(), {}));
  TlsClient tls;
  const std::string body(2'000'000, 'x');
  for (const std::string_view host : {"localhost", "localhost", "127.0.0.1"}) {
    const auto result = tls.client.perform(post(tls_url(server, host), {body}));
    ASSERT_TRUE(result.has_value()) << result.error().message;
    EXPECT_EQ(result->status, 200);
  }
  EXPECT_EQ(server.connections(), 2);
  EXPECT_TRUE(tls.client.probe(tls_url(server)).has_value());
}

TEST(HttpClientTls, RefusesWhatItCannotTrust) {
  const testing::Identity stranger = testing::make_authority();
  struct Case {
    testing::Identity identity;
    std::string reason;
  };
  const Case cases[] = {
      {testing::make_certificate(authority(), {.names = "DNS:other.example"}),
       "is for another host name"},
      {testing::make_certificate(authority(), {.begins_in_s = -7200, .ends_in_s = -3600}),
       "certificate has expired"},
      {testing::make_certificate(authority(), {.begins_in_s = 3600, .ends_in_s = 7200}),
       "certificate is not yet valid"},
      {testing::make_certificate(stranger, {}), "is not trusted"},
      {stranger, "self-signed certificate"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.reason);
    std::atomic<int> requests = 0;
    TestServer server(
        [&](Peer& peer) {
          while (peer.read_request().has_value()) {
            ++requests;
            peer.answer(200);
          }
        },
        c.identity);
    TlsClient tls;
    const auto result = tls.client.perform(post(tls_url(server)));
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::Unavailable);
    EXPECT_NE(result.error().message.find(c.reason), std::string::npos) << result.error().message;
    EXPECT_FALSE(tls.client.probe(tls_url(server)).has_value());
    EXPECT_EQ(requests, 0);
  }
}

TEST(HttpClientTls, ItsOwnAuthorityReplacesTheSystems) {
  TestServer server(answer_all, testing::make_certificate(authority(), {}));
  Client system;
  EXPECT_EQ(system.perform(post(tls_url(server))).error().code, ErrorCode::Unavailable);
}

TEST(HttpClientTls, PlainServersFailTheHandshake) {
  TestServer server([](Peer& peer) {
    peer.read(1);
    peer.write("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  Client client;
  const auto result = client.perform(post(tls_url(server)));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Unavailable);
  EXPECT_NE(result.error().message.find("TLS"), std::string::npos) << result.error().message;
}

TEST(HttpClientTls, AServerThatNeverShakesHandsTimesOut) {
  TestServer server([](Peer& peer) { peer.wait(1h); });
  Client client;
  const auto result = client.perform(post(tls_url(server)), 200ms);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Timeout);
  EXPECT_NE(result.error().message.find("in the TLS handshake"), std::string::npos)
      << result.error().message;
}

// ---- probe, cancellation, end of life

TEST(HttpClientProbe, ConnectsAndSendsNothing) {
  std::atomic<int> bytes = 0;
  std::atomic<int> ended = 0;
  TestServer server([&](Peer& peer) {
    bytes += static_cast<int>(peer.read(100).size());
    ++ended;
  });
  {
    Client client;
    EXPECT_TRUE(client.probe(url_of(server)).has_value());
  }
  while (ended == 0) std::this_thread::yield();
  EXPECT_EQ(bytes, 0);
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClientProbe, ReportsWhatFails) {
  std::uint16_t port = 0;
  {
    TestServer server(answer_all);
    port = server.port();
  }
  Client client;
  EXPECT_EQ(client.probe(fmt::format("http://127.0.0.1:{}/", port)).error().code,
            ErrorCode::Unavailable);
  EXPECT_EQ(client.probe("ftp://127.0.0.1/").error().code, ErrorCode::InvalidArgument);
}

TEST(HttpClientCancel, ClosesTheConnection) {
  std::atomic<bool> hung_up = false;
  std::atomic<bool> asked = false;
  TestServer server([&](Peer& peer) {
    peer.read_request();
    asked = true;
    hung_up = peer.read(1).empty();
  });
  Client client;
  asio::cancellation_signal signal;
  std::optional<Result<HttpResponse>> result;
  asio::co_spawn(
      client.loop,
      testing::store(client.http.perform(post(url_of(server)), client.clock.steady() + 1h), result),
      asio::bind_cancellation_slot(signal.slot(),
                                   [](std::exception_ptr thrown) { EXPECT_FALSE(thrown); }));
  while (!asked) client.loop.run_one_for(1ms);
  signal.emit(asio::cancellation_type::terminal);
  while (!result.has_value()) client.loop.run_one_for(1ms);
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(result->error().code, ErrorCode::Cancelled);
  while (!hung_up) std::this_thread::yield();
}

TEST(HttpClientEnd, GoesWithRequestsUnderWayOnceTheLoopHasStopped) {
  std::atomic<int> asked = 0;
  TestServer server([&](Peer& peer) {
    peer.read_request();
    ++asked;
    peer.wait(1h);
  });
  const std::string body(1000, 'x');
  std::array<std::optional<Result<HttpResponse>>, 5> results;
  Client client;
  for (auto& result : results) {
    const SteadyTime deadline = client.clock.steady() + 1h;
    asio::co_spawn(
        client.loop,
        testing::store(client.http.perform(post(url_of(server), {body}), deadline), result),
        [](std::exception_ptr) { ADD_FAILURE(); });
  }
  while (asked < 5) client.loop.run_one_for(1ms);
}

TEST(HttpClientSettings, ThatMakeNoSenseAreNamed) {
  EXPECT_TRUE(validate(Settings{}).has_value());
  const TemporaryFile ca(authority().certificate);
  const TemporaryFile rubbish("hello");
  Settings good;
  good.allow = {"10.0.0.0/8", "fd00::/8", "localhost:9000", "[::1]:80"};
  good.proxy = "http://user:pass@proxy.example:3128";
  good.ca_file = ca.path();
  good.dns_servers = "192.0.2.53,192.0.2.54:5353";
  const auto ok = validate(good);
  EXPECT_TRUE(ok.has_value()) << ok.error().message;

  const auto fault = [&good](auto change) {
    Settings settings = good;
    change(settings);
    const auto result = validate(settings);
    return result.has_value() ? std::string("accepted") : result.error().message;
  };
  EXPECT_NE(fault([](Settings& s) { s.allow = {"10.0.0.0"}; }).find("10.0.0.0"), std::string::npos);
  EXPECT_EQ(fault([](Settings& s) { s.proxy = "socks5://u:pass@p"; }),
            "[egress] proxy must be a URL such as http://proxy.example:3128 or https://...");
  EXPECT_NE(fault([&](Settings& s) { s.ca_file = rubbish.path(); }).find("ca_file"),
            std::string::npos);
  EXPECT_NE(fault([](Settings& s) { s.ca_file = "/nowhere"; }).find("/nowhere"), std::string::npos);
  EXPECT_NE(fault([](Settings& s) { s.dns_servers = "ns.example"; }).find("dns_servers"),
            std::string::npos);
  EXPECT_NE(fault([](Settings& s) { s.connections_max = 0; }).find("at least 1"),
            std::string::npos);
}

}  // namespace
}  // namespace sluice::egress
