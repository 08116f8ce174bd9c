// Kept connections, their limits, and bodies that do not go out in one piece.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <fstream>
#include <list>
#include <mutex>
#include <random>

#include "egress/http_client.h"
#include "egress/testing/client.h"

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

// Requests under way side by side on one client.
class Requests {
 public:
  struct One {
    std::optional<Result<HttpResponse>> result;
    asio::cancellation_signal cancel;
  };

  explicit Requests(Client& client) : client_(client) {}

  One& begin(HttpRequest request, std::chrono::milliseconds time = 30s) {
    One& one = all_.emplace_back();
    const SteadyTime deadline = client_.clock.steady() + time;
    asio::co_spawn(client_.loop,
                   testing::store(client_.http.perform(std::move(request), deadline), one.result),
                   asio::bind_cancellation_slot(
                       one.cancel.slot(), [](std::exception_ptr thrown) { EXPECT_FALSE(thrown); }));
    return one;
  }
  void poll() {
    client_.loop.restart();  // it stops itself when nothing is left to do
    client_.loop.poll();
  }
  void run_to_end(const One& one) {
    client_.loop.restart();
    while (!one.result.has_value()) client_.loop.run_one_for(1ms);
  }
  void run_all() {
    for (const One& one : all_) run_to_end(one);
  }
  const std::list<One>& all() const { return all_; }

 private:
  Client& client_;
  std::list<One> all_;
};

HttpRequest of(std::uint64_t organisation, std::string url) {
  HttpRequest request = post(std::move(url));
  request.organisation = OrganisationId{organisation};
  return request;
}

// Answers and remembers the paths, and how many connections there were at once.
struct Log {
  std::mutex mutex;
  std::vector<std::string> paths;
  int open = 0;
  int open_most = 0;

  TestServer::Script script() {
    return [this](Peer& peer) {
      {
        const std::lock_guard lock(mutex);
        open_most = std::max(open_most, ++open);
      }
      while (auto request = peer.read_request()) {
        {
          const std::lock_guard lock(mutex);
          paths.push_back(request->head.substr(5, request->head.find(" HTTP") - 5));
        }
        peer.answer(200);
      }
      const std::lock_guard lock(mutex);
      --open;
    };
  }
};

TEST(HttpClientPool, ServesInTheOrderOfAskingAtTheLimitOfAHost) {
  Log log;
  TestServer server(log.script());
  Settings settings = Client::local_settings();
  settings.connections_per_host_max = 1;
  Client client(settings);
  Requests requests(client);
  for (int i = 0; i < 5; ++i) requests.begin(post(url_of(server, fmt::format("/{}", i))));
  requests.run_all();
  EXPECT_EQ(log.paths, (std::vector<std::string>{"/0", "/1", "/2", "/3", "/4"}));
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClientPool, ServesInTheOrderOfAskingAtTheLimitOfAll) {
  Log log;
  TestServer server(log.script());
  Settings settings = Client::local_settings();
  settings.connections_max = 1;
  Client client(settings);
  Requests requests(client);
  std::vector<std::string> expected;
  for (const std::uint64_t organisation : {1, 2, 1, 3, 2, 2, 1}) {
    expected.push_back(fmt::format("/{}-{}", organisation, expected.size()));
    requests.begin(of(organisation, url_of(server, expected.back())));
  }
  requests.run_all();
  for (const auto& one : requests.all()) EXPECT_TRUE(one.result->has_value());
  EXPECT_EQ(log.paths, expected);
}

TEST(HttpClientPool, AnIdleConnectionOfAnotherMakesRoom) {
  TestServer server(answer_all);
  Settings settings = Client::local_settings();
  settings.connections_max = 2;
  Client client(settings);
  for (const std::uint64_t organisation : {1, 2, 3, 3, 2, 1}) {
    ASSERT_TRUE(client.perform(of(organisation, url_of(server))).has_value());
  }
  // 1 and 2 connect; 3 in the place of 1, which waited longest; 2 has its own still; 1 again.
  EXPECT_EQ(server.connections(), 4);
}

TEST(HttpClientPool, AWaitThatIsCancelledOrTimesOutLosesNoPlace) {
  std::atomic<bool> go_on = false;
  TestServer server([&](Peer& peer) {
    while (peer.read_request().has_value()) {
      while (!go_on && peer.wait(1ms)) {
      }
      peer.answer(200);
    }
  });
  Settings settings = Client::local_settings();
  settings.connections_per_host_max = 1;
  Client client(settings);
  Requests requests(client);
  Requests::One& first = requests.begin(post(url_of(server)));
  Requests::One& cancelled = requests.begin(post(url_of(server)));
  Requests::One& late = requests.begin(post(url_of(server)), 50ms);
  Requests::One& last = requests.begin(post(url_of(server)));
  requests.run_to_end(late);
  EXPECT_EQ(late.result->error().code, ErrorCode::Timeout);
  EXPECT_NE(late.result->error().message.find("waiting for a free connection to 127.0.0.1:"),
            std::string::npos)
      << late.result->error().message;
  cancelled.cancel.emit(asio::cancellation_type::terminal);
  requests.run_to_end(cancelled);
  EXPECT_EQ(cancelled.result->error().code, ErrorCode::Cancelled);
  go_on = true;
  requests.run_all();
  EXPECT_TRUE(first.result->has_value());
  EXPECT_TRUE(last.result->has_value());
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClientPool, KeepsItsLimitsWhateverHappens) {
  const unsigned seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  Log log;
  TestServer good(log.script());
  TestServer rude([](Peer& peer) {
    if (peer.read_request().has_value() && peer.number() % 3 != 0) peer.answer(200);
  });
  Settings settings = Client::local_settings();
  settings.connections_per_host_max = 2;
  settings.connections_max = 4;
  Client client(settings);
  Requests requests(client);
  for (int i = 0; i < 400; ++i) {
    const bool polite = random() % 3 != 0;
    Requests::One& one = requests.begin(of(1 + random() % 5, url_of(polite ? good : rude)),
                                        random() % 4 == 0 ? random() % 20 * 1ms : 30s);
    if (random() % 10 == 0) one.cancel.emit(asio::cancellation_type::terminal);
    if (random() % 4 == 0) requests.poll();
  }
  requests.run_all();
  for (const auto& one : requests.all()) {
    if (!one.result->has_value()) {
      EXPECT_NE(one.result->error().code, ErrorCode::InvalidArgument);
    }
  }
  for (std::uint64_t organisation = 1; organisation <= 5; ++organisation) {
    EXPECT_TRUE(client.perform(of(organisation, url_of(good))).has_value());
  }
  // A closed connection may be open for a moment on the server's side still.
  EXPECT_LE(log.open_most, 12);
}

TEST(HttpClientPool, OneThatTheServerEndedOrSpokeOnIsNotUsedAgain) {
  for (const bool says_why : {false, true}) {
    TestServer server([says_why](Peer& peer) {
      if (!peer.read_request().has_value()) return;
      peer.answer(200);
      if (says_why) peer.write("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
    });
    TestServer other(answer_all);
    Client client;
    for (int i = 1; i <= 10; ++i) {
      const auto result = client.perform(post(url_of(server)));
      ASSERT_TRUE(result.has_value()) << result.error().message;
      EXPECT_EQ(result->status, 200);
      while (server.ended() < i) std::this_thread::yield();
      ASSERT_TRUE(client.perform(post(url_of(other))).has_value());
    }
    EXPECT_EQ(server.connections(), 10);
    EXPECT_EQ(other.connections(), 1);
  }
}

TEST(HttpClientUpload, ARefusalCountsAlthoughTheServerHangsUpOnTheBody) {
  const std::string body(30'000'000, 'x');
  TestServer server([](Peer& peer) {
    peer.read_head();
    peer.answer(413, "Connection: close\r\n", "too much");
  });
  Client client;
  for (int i = 0; i < 20; ++i) {
    const auto result = client.perform(post(url_of(server), {body}));
    ASSERT_TRUE(result.has_value()) << result.error().message;
    EXPECT_EQ(result->status, 413);
  }
}

// ---- plain and TLS

class HttpClientUploads : public ::testing::TestWithParam<bool> {
 protected:
  HttpClientUploads() { std::ofstream(ca_file_) << authority_.certificate; }
  ~HttpClientUploads() override { ::unlink(ca_file_.c_str()); }

  std::optional<testing::Identity> identity() const {
    if (!GetParam()) return std::nullopt;
    return testing::make_certificate(authority_, {});
  }
  std::string url(const TestServer& server) const {
    return fmt::format("{}://127.0.0.1:{}/in", GetParam() ? "https" : "http", server.port());
  }
  Settings settings() const {
    Settings settings = Client::local_settings();
    settings.ca_file = ca_file_;
    return settings;
  }

  const testing::Identity authority_ = testing::make_authority();
  const std::string ca_file_ = fmt::format("{}sluice-ca-{}", ::testing::TempDir(), ::getpid());
};

// The reader is slow, so that writing stops anywhere, also within a TLS record.
TEST_P(HttpClientUploads, ManyTinyAndHugePartsArriveInOrder) {
  std::vector<std::string> texts;
  for (int i = 0; i < 10'000; ++i) texts.push_back(std::to_string(i) + (i % 7 == 0 ? "" : ","));
  for (int i = 0; i < 40; ++i) texts.emplace_back(200'000 + i, static_cast<char>('a' + i % 26));
  for (int i = 0; i < 1000; ++i) texts.push_back(std::to_string(i));
  std::string expected;
  for (const std::string& text : texts) expected += text;

  std::string seen;
  std::mutex mutex;
  TestServer server(
      [&](Peer& peer) {
        peer.read_head();
        std::string got;
        while (got.size() < expected.size()) {
          const std::string more = peer.read(got.size() % 3 == 0 ? 150'001 : 17);
          if (more.empty()) return;
          got += more;
        }
        {
          const std::lock_guard lock(mutex);
          seen = got;
        }
        peer.answer(200);
      },
      identity());
  Client client(settings());
  const auto result = client.perform(post(url(server), {texts.begin(), texts.end()}), 60s);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(seen == expected);
}

TEST_P(HttpClientUploads, ARefusalOfOneThatNobodyReadsIsAnAnswer) {
  const std::string body(30'000'000, 'x');
  TestServer server(
      [](Peer& peer) {
        peer.read_head();
        peer.answer(429, "Retry-After: 2\r\n");
        peer.wait(1h);
      },
      identity());
  Client client(settings());
  const auto result = client.perform(post(url(server), {body}));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 429);
  EXPECT_EQ(result->retry_after, 2s);
  EXPECT_TRUE(client.perform(post(url(server), {body})).has_value());
  EXPECT_EQ(server.connections(), 2);  // the first is stuck in the middle of a body
}

TEST_P(HttpClientUploads, ABrokenOneNamesHowFarItCame) {
  const std::string body(30'000'000, 'x');
  TestServer server(
      [](Peer& peer) {
        peer.read_head();
        peer.read(100'000);
        peer.reset();
      },
      identity());
  Client client(settings());
  const auto result = client.perform(post(url(server), {body}));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Unavailable);
  EXPECT_NE(result.error().message.find("hung up while the body was sent ("), std::string::npos)
      << result.error().message;
}

TEST_P(HttpClientUploads, AKeptConnectionThatEndedIsReplaced) {
  TestServer server(
      [](Peer& peer) {
        if (peer.read_request().has_value()) peer.answer(200);
      },
      identity());
  TestServer other(answer_all);
  Client client(settings());
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(client.perform(post(url(server))).has_value());
    while (server.ended() < i) std::this_thread::yield();
    ASSERT_TRUE(client.perform(post(url_of(other))).has_value());
  }
}

// Through a proxy by TLS, too: the connection to the destination goes inside that to the proxy.
TEST_P(HttpClientUploads, GoThroughATunnel) {
  const std::string body(3'000'000, 'x');
  std::mutex mutex;
  std::string seen;
  TestServer server(
      [&](Peer& peer) {
        while (auto request = peer.read_request()) {
          {
            const std::lock_guard lock(mutex);
            seen = request->body;
          }
          peer.answer(200, "", "end to end");
        }
      },
      testing::make_certificate(authority_, {}));
  std::string connect;
  TestServer proxy(
      [&](Peer& peer) {
        {
          const std::string head = peer.read_head();
          const std::lock_guard lock(mutex);
          connect = head;
        }
        peer.write("HTTP/1.0 200 Connection established\r\n\r\n");
        peer.relay(server.port());
      },
      identity());
  Settings behind = settings();
  behind.proxy =
      fmt::format("{}://us%40er:pass@127.0.0.1:{}", GetParam() ? "https" : "http", proxy.port());
  Client client(behind);
  const std::string target = fmt::format("https://127.0.0.1:{}/in", server.port());
  const auto result = client.perform(post(target, {body}));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->body, "end to end");
  EXPECT_TRUE(client.probe(target).has_value());
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(seen == body);
  EXPECT_EQ(connect, fmt::format("CONNECT 127.0.0.1:{0} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n"
                                 "Proxy-Authorization: Basic dXNAZXI6cGFzcw==\r\n\r\n",
                                 server.port()));
}

INSTANTIATE_TEST_SUITE_P(All, HttpClientUploads, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Tls" : "Plain"; });

}  // namespace
}  // namespace sluice::egress
