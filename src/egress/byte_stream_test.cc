#include "egress/byte_stream.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <thread>

#include "egress/http_client.h"
#include "egress/testing/run.h"
#include "egress/testing/test_server.h"
#include "egress/url.h"

namespace sluice::egress {
namespace {

using namespace std::chrono_literals;
using testing::Peer;
using testing::TestServer;

TEST(HostAndPort, IsReadAsStrictlyAsAUrl) {
  const auto read = [](std::string_view text) {
    const Result<Url> url = parse_host_and_port(text, 9092);
    return url.has_value() ? host_and_port(url->host, url->port) : "refused";
  };
  EXPECT_EQ(read("Broker.Example"), "broker.example:9092");
  EXPECT_EQ(read("broker.example:9093"), "broker.example:9093");
  EXPECT_EQ(read("[2001:DB8::1]"), "[2001:db8::1]:9092");
  EXPECT_EQ(read("[2001:DB8::1]:1"), "[2001:db8::1]:1");
  EXPECT_EQ(read("192.0.2.1:80"), "192.0.2.1:80");
  for (const char* bad :
       {"", "a:", "a:0", "a:x", "a/b", "a:1/b", "u@a", "u:p@a:1", "127.1", "0x7f.1", "a b", "a?b",
        "a#b", "2130706433:1", "[fe80::1%eth0]:1", "a:1:2"}) {
    EXPECT_EQ(read(bad), "refused") << bad;
  }
}

class ByteStreamTest : public ::testing::Test {
 protected:
  ByteStreamTest() {
    Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<HttpClient>(loop_, clock_, settings);
  }
  ~ByteStreamTest() override { http_.reset(); }

  Result<std::unique_ptr<ByteStream>> connect(const std::string& host, std::uint16_t port,
                                              std::shared_ptr<TlsContext> tls = nullptr) {
    const bool secure = tls != nullptr;
    return testing::run(loop_, http_->connect({OrganisationId{1}, host, port, secure, tls},
                                              clock_.steady() + 10s, &fault_));
  }
  SteadyTime soon() const { return clock_.steady() + 10s; }

  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<HttpClient> http_;
  Fault fault_ = Fault::Us;
};

// Sends back what it gets.
void echo(Peer& peer) {
  while (true) {
    const std::string bytes = peer.read(100'000);
    if (bytes.empty() || !peer.write(bytes)) return;
  }
}

TEST_F(ByteStreamTest, RefusesForbiddenAddresses) {
  const auto made = connect("10.1.2.3", 9092);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, ErrorCode::InvalidArgument);
  EXPECT_NE(made.error().message.find("a private address"), std::string::npos);
  EXPECT_EQ(fault_, Fault::Destination);
}

TEST_F(ByteStreamTest, SendsAndReceives) {
  const TestServer server(&echo);
  const auto made = connect("127.0.0.1", server.port());
  ASSERT_TRUE(made.has_value()) << made.error().message;
  ByteStream& stream = **made;
  EXPECT_EQ(stream.received(), "");
  ASSERT_TRUE(testing::run(loop_, stream.send("hello", soon())).has_value());
  EXPECT_EQ(*testing::run(loop_, stream.receive(soon())), "hello");
  const auto late = testing::run(loop_, stream.receive(clock_.steady() + 10ms));
  EXPECT_EQ(late.error().code, ErrorCode::Timeout);
}

TEST_F(ByteStreamTest, APeerThatTalksMeanwhileDoesNotBlock) {
  const TestServer server(&echo);
  const auto made = connect("127.0.0.1", server.port());
  ASSERT_TRUE(made.has_value());
  const std::string bytes(900'000, 'x');
  ASSERT_TRUE(testing::run(loop_, (*made)->send(bytes, soon())).has_value());
  std::size_t got = 0;
  while (got < bytes.size()) got += testing::run(loop_, (*made)->receive(soon()))->size();
  EXPECT_EQ(got, bytes.size());
}

TEST_F(ByteStreamTest, SpeaksTlsAndTellsWhenThePeerEnds) {
  const testing::Identity authority = testing::make_authority();
  const TestServer server([](Peer& peer) { peer.write(peer.read(100)); },
                          testing::make_certificate(authority, {}));
  TlsOptions options;
  options.ca = authority.certificate;
  const auto made = connect("127.0.0.1", server.port(), http_->make_tls(options));
  ASSERT_TRUE(made.has_value()) << made.error().message;
  ASSERT_TRUE(testing::run(loop_, (*made)->send("hello", soon())).has_value());
  EXPECT_EQ(*testing::run(loop_, (*made)->receive(soon())), "hello");
  const Result<std::string> end = testing::run(loop_, (*made)->receive(soon()));
  EXPECT_TRUE(!end.has_value() || end->empty());
}

TEST_F(ByteStreamTest, GivesAPlainConnectionAway) {
  const TestServer server(&echo);
  const auto made = connect("127.0.0.1", server.port());
  ASSERT_TRUE(made.has_value());
  const std::optional<int> fd = (*made)->release();
  ASSERT_TRUE(fd.has_value());
  std::array<char, 8> room;
  EXPECT_EQ(::recv(*fd, room.data(), room.size(), 0), -1);
  EXPECT_EQ(errno, EAGAIN);
  ASSERT_EQ(::send(*fd, "hello", 5, MSG_NOSIGNAL), 5);
  pollfd arrived{*fd, POLLIN, 0};
  ASSERT_EQ(::poll(&arrived, 1, 10'000), 1);
  EXPECT_EQ(::recv(*fd, room.data(), room.size(), 0), 5);
  ::close(*fd);
}

TEST_F(ByteStreamTest, KeepsAConnectionThatTlsGoesOver) {
  const testing::Identity authority = testing::make_authority();
  const TestServer server(&echo, testing::make_certificate(authority, {}));
  TlsOptions options;
  options.ca = authority.certificate;
  const auto made = connect("127.0.0.1", server.port(), http_->make_tls(options));
  ASSERT_TRUE(made.has_value()) << made.error().message;
  EXPECT_FALSE((*made)->release().has_value());
  ASSERT_TRUE(testing::run(loop_, (*made)->send("hello", soon())).has_value());
  EXPECT_EQ(*testing::run(loop_, (*made)->receive(soon())), "hello");
}

// A library's end of a relay, on a thread of its own.
class Library {
 public:
  explicit Library(boost::asio::io_context& loop) : socket(loop) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fd = ends[0];
    socket.assign(boost::asio::local::stream_protocol(), ends[1]);
  }
  ~Library() { ::close(fd); }
  int fd = -1;
  LocalSocket socket;
};

TEST_F(ByteStreamTest, RelaysBothWaysAtOnceWhateverFits) {
  constexpr std::size_t kBytes = 5'000'000;
  const TestServer server(&echo);
  const auto made = connect("127.0.0.1", server.port());
  ASSERT_TRUE(made.has_value());
  Library library(loop_);
  std::string sent(kBytes, ' ');
  for (std::size_t i = 0; i < kBytes; ++i) sent[i] = static_cast<char>(i * 31 + i / 257);
  std::string got;
  std::thread writer([&] {
    for (std::size_t at = 0; at < kBytes;) {
      const ssize_t n = ::send(library.fd, sent.data() + at, kBytes - at, MSG_NOSIGNAL);
      if (n <= 0) return;
      at += static_cast<std::size_t>(n);
    }
  });
  std::thread reader([&] {
    std::string room(100'000, ' ');
    while (got.size() < kBytes) {
      const ssize_t n = ::recv(library.fd, room.data(), room.size(), 0);
      if (n <= 0) break;
      got.append(room, 0, static_cast<std::size_t>(n));
    }
    ::shutdown(library.fd, SHUT_RDWR);
  });
  const Result<void> done = testing::run(loop_, (*made)->relay(std::move(library.socket)));
  EXPECT_TRUE(done.has_value());
  writer.join();
  reader.join();
  EXPECT_TRUE(got == sent) << got.size();
}

TEST_F(ByteStreamTest, ARelayEndsWithThePeerAndWithItsCancellation) {
  const TestServer hangs_up([](Peer& peer) { peer.read(1); });
  const auto made = connect("127.0.0.1", hangs_up.port());
  ASSERT_TRUE(made.has_value());
  Library library(loop_);
  ASSERT_EQ(::send(library.fd, "x", 1, 0), 1);
  const Result<void> done = testing::run(loop_, (*made)->relay(std::move(library.socket)));
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, ErrorCode::Unavailable);
  char byte = 0;
  EXPECT_EQ(::recv(library.fd, &byte, 1, 0), 0) << "the library sees the end, too";

  const TestServer silent([](Peer& peer) { peer.wait(1h); });
  const auto other = connect("127.0.0.1", silent.port());
  ASSERT_TRUE(other.has_value());
  Library second(loop_);
  boost::asio::cancellation_signal cancel;
  std::optional<Result<void>> ended;
  boost::asio::co_spawn(loop_, testing::store((*other)->relay(std::move(second.socket)), ended),
                        boost::asio::bind_cancellation_slot(
                            cancel.slot(), [&](const std::exception_ptr&) { loop_.stop(); }));
  boost::asio::post(loop_, [&] { cancel.emit(boost::asio::cancellation_type::terminal); });
  loop_.restart();
  loop_.run();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->error().code, ErrorCode::Cancelled);
}

}  // namespace
}  // namespace sluice::egress
