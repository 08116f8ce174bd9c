#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <mutex>
#include <random>

#include "egress/http_client.h"
#include "egress/testing/client.h"

// Bodies that are made while they are sent.

namespace sluice::egress {
namespace {

using namespace std::chrono_literals;
using testing::Client;
using testing::Peer;
using testing::post;
using testing::TestServer;
using testing::url_of;

// `text` in pieces of random sizes, some of them after others had their turn. The one before is
// overwritten, as who makes them may do.
class Pieces final : public BodySource {
 public:
  Pieces(std::string text, unsigned seed) : text_(std::move(text)), random_(seed) {}

  void begin() override { at_ = 0; }
  Awaitable<Result<std::string_view>> next() override {
    if (random_() % 2 == 0) {
      const auto executor = co_await boost::asio::this_coro::executor;
      co_await boost::asio::post(executor, boost::asio::use_awaitable);
    }
    ++asked;
    if (fails_at && at_ >= *fails_at) co_return Error{ErrorCode::Io, "the disk is gone"};
    piece_.assign(piece_.size(), '?');
    piece_ = text_.substr(at_, 1 + random_() % (random_() % 4 == 0 ? 10 : 300'000));
    at_ += piece_.size();
    co_return std::string_view(piece_);
  }

  std::optional<std::size_t> fails_at;
  int asked = 0;

 private:
  const std::string text_;
  std::mt19937 random_;
  std::string piece_;
  std::size_t at_ = 0;
};

std::string text_of(std::size_t bytes) {
  std::string text(bytes, 'x');
  for (std::size_t i = 0; i < bytes; i += 97) text[i] = static_cast<char>('a' + i % 26);
  return text;
}

HttpRequest request_of(std::string url, BodySource& body, std::uint64_t bytes) {
  HttpRequest request = post(std::move(url), {});
  request.body_source = &body;
  request.body_source_bytes = bytes;
  return request;
}

struct Seen {
  std::mutex mutex;
  std::vector<testing::Request> requests;

  TestServer::Script script() {
    return [this](Peer& peer) {
      while (auto request = peer.read_request()) {
        {
          const std::lock_guard lock(mutex);
          requests.push_back(*request);
        }
        peer.answer(200);
      }
    };
  }
};

TEST(BodySource, IsSentWholeAndAgainFromItsBeginning) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  const testing::Identity authority = testing::make_authority();
  for (const bool tls : {false, true}) {
    const std::string text = text_of(5'000'003);
    Seen seen;
    {
      std::optional<testing::Identity> identity;
      if (tls) identity = testing::make_certificate(authority, {});
      TestServer server(seen.script(), identity);
      Client client;
      Pieces pieces(text, seed);
      for (int i = 0; i < 2; ++i) {
        const std::string url =
            tls ? fmt::format("https://localhost:{}/in", server.port()) : url_of(server);
        HttpRequest request = request_of(url, pieces, text.size());
        TlsOptions trust;
        if (tls) trust.ca = authority.certificate;
        request.tls = client.http.make_tls(trust);
        const auto result = client.perform(std::move(request));
        ASSERT_TRUE(result.has_value()) << result.error().message;
      }
      EXPECT_EQ(server.connections(), tls ? 2 : 1) << "a plain connection is kept";
    }
    ASSERT_EQ(seen.requests.size(), 2u);
    for (const testing::Request& request : seen.requests) {
      EXPECT_NE(request.head.find("\r\nContent-Length: 5000003\r\n"), std::string::npos);
      EXPECT_TRUE(request.body == text) << "tls: " << tls;
    }
  }
}

// What the server has by then is no whole request, and no second one may follow it.
TEST(BodySource, AnErrorOfItsOwnEndsTheRequestAsOurFault) {
  for (int i = 0; i < 3; ++i) {
    Seen seen;
    TestServer server(seen.script());
    Client client;
    const std::string text = text_of(2'000'000);
    Pieces pieces(text, 1);
    if (i == 0) pieces.fails_at = 1'000'000;
    const std::uint64_t announced = text.size() + (i == 1 ? 1 : i == 2 ? -1 : 0);
    Fault fault = Fault::Destination;
    const auto result =
        testing::run(client.loop, client.http.perform(request_of(url_of(server), pieces, announced),
                                                      client.clock.steady() + 10s, &fault));
    ASSERT_FALSE(result.has_value()) << i;
    EXPECT_EQ(fault, Fault::Us) << i;
    EXPECT_EQ(result.error().code, i == 0 ? ErrorCode::Io : ErrorCode::Unavailable);
    const char* const messages[] = {"the disk is gone",
                                    "the body is shorter than the 2000001 bytes announced",
                                    "the body is longer than the 1999999 bytes announced"};
    EXPECT_EQ(result.error().message, messages[i]);
    ASSERT_TRUE(client.perform(post(url_of(server))).has_value());
    EXPECT_EQ(server.connections(), 2) << i;
    const std::lock_guard lock(seen.mutex);
    EXPECT_EQ(seen.requests.size(), 1u) << i;
  }
}

TEST(BodySource, IsNotAskedOnOnceTheServerHasRefused) {
  TestServer server([](Peer& peer) {
    peer.read_head();
    peer.answer(413, "Connection: close\r\n", "too much");
    peer.wait(1h);
  });
  Client client;
  Pieces pieces(text_of(30'000'000), 1);
  const auto result = client.perform(request_of(url_of(server), pieces, 30'000'000));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 413);
  EXPECT_LT(pieces.asked, 150);
}

}  // namespace
}  // namespace sluice::egress
