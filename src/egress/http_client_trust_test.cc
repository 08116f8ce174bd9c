// Where requests may go and whom they trust: addresses, proxies, TLS.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <mutex>

#include "egress/http_client.h"
#include "egress/resolver.h"
#include "egress/testing/client.h"
#include "egress/testing/test_dns.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::answer_all;
using testing::Client;
using testing::Peer;
using testing::post;
using testing::TestServer;
using testing::url_of;

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
  EXPECT_NE(fault([](Settings& s) { s.allow = {"10.0.0.0/33"}; }).find("10.0.0.0/33"),
            std::string::npos);
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
