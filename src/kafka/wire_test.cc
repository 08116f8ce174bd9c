#include "kafka/wire.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <netdb.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <thread>

#include "base/metrics.h"
#include "egress/testing/test_server.h"
#include "kafka/configuration.h"

namespace sluice::kafka {
namespace {

using namespace std::chrono_literals;
using egress::testing::Peer;
using egress::testing::TestServer;

// Calls the hooks as the library does.
class Library {
 public:
  explicit Library(Wire& wire) : wire_(&wire) {
    const Configuration configuration(rd_kafka_conf_new());
    wire.install(configuration.get());
    find(configuration, "socket_cb", socket_);
    find(configuration, "closesocket_cb", close_);
    find(configuration, "resolve_cb", resolve_);
    find(configuration, "connect_cb", connect_);
  }

  int socket() { return socket_(AF_INET, SOCK_STREAM, IPPROTO_TCP, wire_); }
  void close(int fd) { close_(fd, wire_); }
  void connect(int fd, std::uint16_t port) {
    addrinfo* found = nullptr;
    const addrinfo hints{};
    ASSERT_EQ(resolve_("127.0.0.1", std::to_string(port).c_str(), &hints, &found, wire_), 0);
    EXPECT_EQ(connect_(fd, found->ai_addr, static_cast<int>(found->ai_addrlen), "", wire_), 0);
    resolve_(nullptr, nullptr, nullptr, &found, wire_);
  }

 private:
  // Only as a text the library gives them back.
  template <class Hook>
  static void find(const Configuration& configuration, const char* name, Hook*& hook) {
    std::array<char, 50> text{};
    std::size_t size = text.size();
    const auto known = rd_kafka_conf_get(configuration.get(), name, text.data(), &size);
    ASSERT_EQ(known, RD_KAFKA_CONF_OK) << name;
    hook = reinterpret_cast<Hook*>(std::strtoull(text.data(), nullptr, 16));
  }

  void* const wire_;
  int (*socket_)(int, int, int, void*) = nullptr;
  int (*close_)(int, void*) = nullptr;
  int (*resolve_)(const char*, const char*, const addrinfo*, addrinfo**, void*) = nullptr;
  int (*connect_)(int, const sockaddr*, int, const char*, void*) = nullptr;
};

class KafkaWire : public ::testing::Test {
 protected:
  KafkaWire() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, settings, &metrics_);
  }
  ~KafkaWire() override { wire_->close(); }

  void open(bool secure) {
    wire_ = std::make_shared<Wire>(
        *http_, clock_, Wire::Options{.organisation = OrganisationId{1}, .secure = secure},
        [this](const WireFault& fault) { faults_.push_back(fault); });
    library_.emplace(*wire_);
  }
  template <class Condition>
  bool run_until(Condition condition) {
    loop_.restart();
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (!condition() && std::chrono::steady_clock::now() < end) loop_.run_one_for(1ms);
    return condition();
  }

  Metrics metrics_;
  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  std::vector<WireFault> faults_;
  std::shared_ptr<Wire> wire_;
  std::optional<Library> library_;
};

// How the library sees that a connection is made, or why not.
int error_of_connect(int fd) {
  pollfd wait{fd, POLLOUT, 0};
  while (::poll(&wait, 1, 0) == 0) {
  }
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

TEST_F(KafkaWire, ARefusedConnectIsNeverTakenForAMadeOne) {
  std::uint16_t nobody = 0;
  {
    const TestServer server([](Peer&) {});
    nobody = server.port();
  }
  open(false);
  int seemed_made = 0;
  for (int round = 0; round < 1000; ++round) {
    const int fd = library_->socket();
    library_->connect(fd, nobody);
    std::atomic<int> error = -1;
    std::thread library([&] { error = error_of_connect(fd); });
    EXPECT_TRUE(run_until([&] { return error != -1; }));
    library.join();
    if (error == 0) ++seemed_made;
    library_->close(fd);
  }
  EXPECT_EQ(seemed_made, 0);
  EXPECT_EQ(faults_.size(), 1000u);
}

TEST_F(KafkaWire, AMissingDescriptorIsOurFault) {
  open(false);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{3, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  const int fd = library_->socket();
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(fd, -1);
  ASSERT_TRUE(run_until([&] { return !faults_.empty(); }));
  EXPECT_EQ(faults_[0].fault, Fault::Us);
  EXPECT_EQ(faults_[0].error.message, "no file descriptor is left");
}

TEST_F(KafkaWire, WhatTheLibraryClosesWhileItConnectsIsGivenUp) {
  const TestServer server([](Peer& peer) { peer.wait(1h); });  // no word of TLS
  const Gauge connections = metrics_.gauge("sluice_egress_connections", "");
  open(true);
  const int fd = library_->socket();
  library_->connect(fd, server.port());
  ASSERT_TRUE(run_until([&] { return server.connections() == 1; }));
  EXPECT_EQ(connections.value(), 1);
  library_->close(fd);
  EXPECT_TRUE(run_until([&] { return connections.value() == 0; }));
}

}  // namespace
}  // namespace sluice::kafka
