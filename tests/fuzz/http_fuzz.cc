// libFuzzer: any bytes from a client, to a connection of the listener, through a socket pair. How
// they are cut on the way must not change what is answered, and nothing may be left behind.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/metrics.h"
#include "http/loop.h"
#include "http/server.h"

namespace sluice::http {
namespace {

constexpr std::uint64_t kBodyBytesMax = 4096;

// Answers with what it understood.
class Echo final : public Handler {
 public:
  std::variant<TakeBody, Response> on_head(const RequestHead& head) override {
    if (head.path == "/refuse") return Response{.status = 403, .body = "refused"};
    return TakeBody{kBodyBytesMax};
  }
  void on_request(const RequestHead& head, Body body, Responder responder) override {
    SLUICE_ASSERT(body.size() <= kBodyBytesMax);
    SLUICE_ASSERT(!head.content_length || *head.content_length == body.size());
    for (std::size_t i = 0; body.data() != nullptr && i < Body::kPadding; ++i) {
      SLUICE_ASSERT(body.data()[body.size() + i] == 0);
    }
    std::string text;
    for (const std::string_view part : {head.method, head.path, head.query}) {
      text.append(part).append("\n");
    }
    for (const auto& [name, value] : head.headers) {
      SLUICE_ASSERT(!name.empty() && value.find('\n') == value.npos);
      text.append(name).append(":").append(value).append("\n");
    }
    text.append(body.view());
    if (head.path == "/stream") {
      const auto stream = std::move(responder).stream({.body = std::move(text)});
      if (stream != nullptr) stream->write("end");
      return;
    }
    std::move(responder).send({.body = std::move(text)});
  }
  Response refusal(int status, std::string_view detail) override {
    return {.status = status, .body = std::string(detail)};
  }
};

class Client {
 public:
  Client()
      : shared_(Settings{}, echo_, metrics_, 1),
        loop_(std::make_shared<Loop>(shared_, context_, 0, std::vector<Acceptor>())) {
    loop_->start();
    context_.poll();
  }

  // What comes back for `bytes`, sent in pieces of this size.
  std::string answers(std::string_view bytes, std::size_t piece) {
    int ends[2];
    SLUICE_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    Socket socket(context_);
    socket.assign(boost::asio::ip::tcp::v4(), ends[0]);
    loop_->adopt(std::move(socket), Listener::Main);
    std::string received;
    while (!bytes.empty()) {
      const std::string_view part = bytes.substr(0, piece);
      const ssize_t sent = ::send(ends[1], part.data(), part.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) break;  // it has closed
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      settle(ends[1], received);
    }
    ::shutdown(ends[1], SHUT_WR);
    settle(ends[1], received);
    ::close(ends[1]);
    settle(-1, received);
    SLUICE_ASSERT(shared_.connections == 0);
    SLUICE_ASSERT(shared_.budget->used() == 0);
    // Whether it is said depends on what came along with the header.
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    for (std::size_t at; (at = received.find(kContinue)) != received.npos;) {
      received.erase(at, kContinue.size());
    }
    return received;
  }

 private:
  // Until neither side has anything left to do.
  void settle(int end, std::string& received) {
    char bytes[4096];
    for (ssize_t got = 1; got > 0;) {
      context_.restart();
      while (context_.poll() > 0) {
      }
      got = end < 0 ? 0 : ::recv(end, bytes, sizeof bytes, 0);
      if (got > 0) received.append(bytes, static_cast<std::size_t>(got));
    }
  }

  boost::asio::io_context context_;
  Metrics metrics_;
  Echo echo_;
  Shared shared_;
  std::shared_ptr<Loop> loop_;
};

}  // namespace
}  // namespace sluice::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static sluice::http::Client client;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = client.answers(bytes, bytes.size());
  std::string_view more = whole;
  const std::string pieces = client.answers(bytes, data[0] % 64 + 1u);
  std::string_view less = pieces;
  if (less.size() > more.size()) std::swap(less, more);
  // A header that comes in pieces is found out to be wrong when it is whole, which it may never be.
  SLUICE_ASSERT(more == less ||
                (more.starts_with(less) && more.substr(less.size()).starts_with("HTTP/1.1 400 ")));
  return 0;
}
