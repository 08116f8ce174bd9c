#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <filesystem>
#include <fstream>
#include <latch>
#include <thread>

#include "base/metrics.h"
#include "egress/testing/run.h"
#include "egress/testing/test_server.h"
#include "kafka/calls.h"
#include "kafka/configuration.h"
#include "kafka/producer.h"

namespace sluice::kafka {
namespace {

using namespace std::chrono_literals;
using egress::testing::Peer;
using egress::testing::TestServer;

TEST(KafkaBrokers, AreReadStrictly) {
  EXPECT_EQ(*read_brokers("a.example"), "a.example:9092");
  EXPECT_EQ(*read_brokers(" A:1 ,b.example:2, [2001:db8::1]:3"), "a:1,b.example:2,[2001:db8::1]:3");
  for (const char* bad :
       {"", ",", "a,", "a:1;b:2", "u@a:1", "127.1:9", "http://a:1", "a:0", "a/b"}) {
    const Result<std::string> brokers = read_brokers(bad);
    ASSERT_FALSE(brokers.has_value()) << bad;
    EXPECT_EQ(brokers.error().code, ErrorCode::InvalidArgument);
  }
}

class KafkaProducer : public ::testing::Test {
 protected:
  KafkaProducer() {
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, loopback(), &metrics_);
  }

  static egress::Settings loopback() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    return settings;
  }
  // All threads of calls() can be had at the same time.
  static bool until_calls_are_free(std::chrono::milliseconds time) {
    constexpr int kThreads = 4;
    const auto arrived = std::make_shared<std::latch>(kThreads);
    for (int i = 0; i < kThreads; ++i) calls().post([arrived] { arrived->arrive_and_wait(); });
    const auto end = std::chrono::steady_clock::now() + time;
    while (!arrived->try_wait() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(1ms);
    }
    return arrived->try_wait();
  }

  std::unique_ptr<Producer> open(std::string brokers) {
    auto made = Producer::open(*http_, clock_,
                               {{.brokers = std::move(brokers)}, "topic", OrganisationId{1}});
    EXPECT_TRUE(made.has_value());
    return *std::move(made);
  }
  Sent send(Producer& producer, std::chrono::milliseconds time = 10s) {
    return egress::testing::run(loop_, producer.send(messages_, nullptr, clock_.steady() + time));
  }
  static std::string at(const TestServer& server) {
    return "127.0.0.1:" + std::to_string(server.port());
  }

  static int threads_of_the_library() {
    int count = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::getline(std::ifstream(task.path() / "comm"), name);
      if (name.starts_with("rdk:")) ++count;
    }
    return count;
  }

  Metrics metrics_;  // what the loop still holds at its end counts here
  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  std::vector<Message> messages_ = {{"{}", "k", "event", "1"}, {"{}", "k", "event", "2"}};
};

TEST_F(KafkaProducer, DoesNotGoToForbiddenAddresses) {
  const auto producer = open("10.1.2.3:9092");
  const Sent sent = send(*producer);
  ASSERT_TRUE(sent.fault.has_value());
  EXPECT_EQ(sent.fault->error.code, ErrorCode::InvalidArgument);
  EXPECT_NE(sent.fault->error.message.find("10.1.2.3 is a private address"), std::string::npos);
  EXPECT_TRUE(producer->spent());
}

TEST_F(KafkaProducer, SaysWhenNobodyListens) {
  std::string nobody;
  {
    const TestServer server([](Peer&) {});
    nobody = at(server);
  }
  const auto producer = open(nobody);
  const Sent sent = send(*producer);
  ASSERT_TRUE(sent.fault.has_value());
  EXPECT_EQ(sent.fault->error.code, ErrorCode::Unavailable);
  EXPECT_NE(sent.fault->error.message.find("connection refused"), std::string::npos)
      << sent.fault->error.message;
}

TEST_F(KafkaProducer, ABrokerThatSaysNothingMeetsTheDeadline) {
  const TestServer server([](Peer& peer) { peer.wait(1h); });
  const auto producer = open(at(server));
  const Sent sent = send(*producer, 300ms);
  ASSERT_TRUE(sent.fault.has_value());
  EXPECT_EQ(sent.fault->error.code, ErrorCode::Timeout);
  EXPECT_EQ(sent.delivered, 0u);
  EXPECT_TRUE(producer->spent());
}

TEST_F(KafkaProducer, AConnectionCountsUntilTheLibraryClosesIt) {
  const Gauge connections = metrics_.gauge("sluice_egress_connections", "");
  std::atomic<int> made = 0;
  const TestServer server([&](Peer& peer) {
    peer.read(1);
    ++made;
  });
  const auto producer = open(at(server));
  send(*producer);
  loop_.restart();
  for (int i = 0; i < 1000 && made < 5; ++i) loop_.run_for(10ms);  // the library tries again
  EXPECT_GE(made, 5);
  EXPECT_LE(connections.value(), 2);  // one that ends, one that begins
}

// As at the end of the server: what waits on a loop goes with it, after the HTTP client.
TEST_F(KafkaProducer, MayGoWithItsLoop) {
  const TestServer server([](Peer& peer) { peer.wait(1h); });
  auto producer = open(at(server));
  send(*producer, 300ms);
  boost::asio::post(loop_, [producer = std::move(producer)] {});
}

TEST_F(KafkaProducer, ACheckEndsWithItsLoop) {
  const TestServer server([](Peer& peer) { peer.wait(1h); });
  std::optional<Sent> looked;
  {
    boost::asio::io_context loop(1);
    egress::HttpClient http(loop, clock_, loopback(), &metrics_);
    auto made = Producer::open(http, clock_, {{.brokers = at(server)}, "topic", OrganisationId{1}});
    ASSERT_TRUE(made.has_value());
    auto check = [](std::unique_ptr<Producer> producer, SteadyTime deadline) -> Awaitable<Sent> {
      co_return co_await producer->look(deadline);
    };
    boost::asio::co_spawn(
        loop, egress::testing::store(check(*std::move(made), clock_.steady() + 1h), looked),
        [](const std::exception_ptr&) {});
    while (server.connections() == 0) loop.run_one_for(1ms);
  }
  EXPECT_TRUE(until_calls_are_free(3s));
  EXPECT_FALSE(looked.has_value());
}

TEST_F(KafkaProducer, ACheckCanBeCancelled) {
  const TestServer server([](Peer& peer) { peer.wait(1h); });
  const auto producer = open(at(server));
  boost::asio::cancellation_signal cancel;
  std::optional<Sent> looked;
  bool ended = false;
  boost::asio::co_spawn(loop_, egress::testing::store(producer->look(clock_.steady() + 1h), looked),
                        boost::asio::bind_cancellation_slot(
                            cancel.slot(), [&](const std::exception_ptr&) { ended = true; }));
  while (server.connections() == 0) loop_.run_one_for(1ms);
  cancel.emit(boost::asio::cancellation_type::terminal);
  loop_.run_for(100ms);
  ASSERT_TRUE(ended);
  ASSERT_TRUE(looked.has_value() && looked->fault.has_value());
  EXPECT_EQ(looked->fault->error.code, ErrorCode::Cancelled);
  EXPECT_TRUE(producer->spent());
}

// The threads' ends take their time, which the loop does not have.
TEST_F(KafkaProducer, TheLibrarysThreadsEndWithoutTheLoop) {
  const TestServer server([](Peer& peer) { peer.wait(1h); });
  auto producer = open(at(server));
  send(*producer, 50ms);
  EXPECT_GT(threads_of_the_library(), 0);
  producer.reset();
  const auto end = std::chrono::steady_clock::now() + 3s;
  while (threads_of_the_library() > 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(threads_of_the_library(), 0);
}

TEST_F(KafkaProducer, ManyCanBeginAndEndAtOnce) {
  const TestServer server([](Peer& peer) { peer.wait(1h); });
  for (int round = 0; round < 20; ++round) {
    const auto one = open(at(server));
    const auto other = open(at(server));
    send(*one, 5ms);
  }
}

}  // namespace
}  // namespace sluice::kafka
