#include "kafka/consumer.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

#include "base/metrics.h"
#include "egress/testing/test_server.h"

namespace sluice::kafka {
namespace {

using namespace std::chrono_literals;
using egress::testing::Peer;
using egress::testing::TestServer;

// The library's own fake of a cluster.
class MockCluster {
 public:
  MockCluster()
      : client_(rd_kafka_new(RD_KAFKA_PRODUCER, quiet(), nullptr, 0)),
        cluster_(rd_kafka_mock_cluster_new(client_, 1)) {
    rd_kafka_mock_topic_create(cluster_, "topic", 1, 1);
  }
  ~MockCluster() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(client_);
  }
  MockCluster(const MockCluster&) = delete;
  MockCluster& operator=(const MockCluster&) = delete;

  std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  void refuse_offset_fetch(rd_kafka_resp_err_t error) {
    constexpr std::int16_t kOffsetFetch = 9;
    std::array<rd_kafka_resp_err_t, 10'000> errors;
    errors.fill(error);
    rd_kafka_mock_push_request_errors_array(cluster_, kOffsetFetch, errors.size(), errors.data());
  }

 private:
  static rd_kafka_conf_t* quiet() {
    rd_kafka_conf_t* const configuration = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(configuration, nullptr);
    return configuration;
  }

  rd_kafka_t* const client_;
  rd_kafka_mock_cluster_t* const cluster_;
};

class KafkaConsumer : public ::testing::Test {
 protected:
  KafkaConsumer() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, settings, &metrics_);
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~KafkaConsumer() override {
    consumer_.reset();
    loop_.stop();
    thread_.join();
  }

  void open(std::string brokers) {
    auto made = Consumer::open(*http_, clock_,
                               {.cluster = {.brokers = std::move(brokers)},
                                .group = "group",
                                .member = "member",
                                .topics = {"topic"},
                                .next = [](std::string_view, std::int32_t) { return std::nullopt; },
                                .gives_up = [this](auto pause) { return gives_up(pause); }});
    ASSERT_TRUE(made.has_value());
    consumer_ = *std::move(made);
  }
  template <class Condition>
  bool take_until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!condition() && std::chrono::steady_clock::now() < end) {
      consumer_->take(10ms, [](const Consumed&) {});
    }
    return condition();
  }
  bool gives_up(std::chrono::milliseconds pause) {
    std::this_thread::sleep_for(pause);
    if (asked_++ == 0) first_asked_ = std::chrono::steady_clock::now();
    return std::chrono::steady_clock::now() > first_asked_ + 1s;
  }

  Metrics metrics_;
  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      loop_.get_executor()};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  std::thread thread_;
  std::unique_ptr<Consumer> consumer_;
  int asked_ = 0;
  std::chrono::steady_clock::time_point first_asked_;
};

TEST_F(KafkaConsumer, SaysWhyNoConnectionCanBeMade) {
  std::string nobody;
  {
    const TestServer server([](Peer&) {});
    nobody = "127.0.0.1:" + std::to_string(server.port());
  }
  open(nobody);
  ASSERT_TRUE(take_until([&] { return !consumer_->complaint().empty(); }));
  EXPECT_NE(consumer_->complaint().find("connection refused"), std::string::npos)
      << consumer_->complaint();
}

TEST_F(KafkaConsumer, PausesWhenItsPlaceIsRefusedAtOnce) {
  MockCluster cluster;
  cluster.refuse_offset_fetch(RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
  open(cluster.brokers());
  ASSERT_TRUE(take_until([&] { return asked_ > 0; }));
  EXPECT_NE(consumer_->complaint().find("Group authorization failed"), std::string::npos)
      << consumer_->complaint();
  EXPECT_LE(asked_, 20);
}

}  // namespace
}  // namespace sluice::kafka
