#include "http/server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/string.hpp>
#include <cerrno>
#include <charconv>

#include "http/loop.h"
#include "http/responder_target.h"

namespace sluice::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 4096;  // the kernel caps it at net.core.somaxconn

Result<tcp::endpoint> parse_address(const std::string& text) {
  const Error error{ErrorCode::InvalidArgument,
                    fmt::format("cannot listen on \"{}\": give an IP address and a port, such as "
                                "127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080",
                                text)};
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return error;
  std::string host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);

  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, wrong] = std::from_chars(text.data() + colon + 1, end, port);
  error_code bad_host;
  const auto address = asio::ip::make_address(host, bad_host);
  if (bad_host || wrong != std::errc() || stopped != end || address.is_v6() != bracketed) {
    return error;
  }
  return tcp::endpoint(address, port);
}

std::string spell(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, endpoint.port())
                                    : fmt::format("{}:{}", host, endpoint.port());
}

Error listen_error(const tcp::endpoint& endpoint, const error_code& error) {
  if (error == asio::error::address_in_use) {
    return {ErrorCode::Conflict,
            fmt::format("cannot listen on {}: another program does already; stop it or choose "
                        "another port",
                        spell(endpoint))};
  }
  if (error == asio::error::access_denied) {
    return {ErrorCode::Io, fmt::format("cannot listen on {}: this user may not; ports below 1024 "
                                       "need CAP_NET_BIND_SERVICE, or choose a higher port",
                                       spell(endpoint))};
  }
  return {ErrorCode::Io, fmt::format("cannot listen on {}: {}", spell(endpoint), error.message())};
}

enum class Sharing : std::uint8_t { Alone, WithOurOwn };

Result<Acceptor> bind(asio::io_context& context, const tcp::endpoint& endpoint, Sharing sharing) {
  Acceptor acceptor(context);
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  const int on = 1;
  if (!error && sharing == Sharing::WithOurOwn &&
      ::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
    error.assign(errno, asio::error::get_system_category());
  }
  if (!error) acceptor.bind(endpoint, error);
  if (error) return listen_error(endpoint, error);
  return acceptor;
}

class ListeningServer final : public Server {
 public:
  ListeningServer(const Limits& limits, Handler& handler, Metrics& metrics, IoThreads& threads,
                  std::vector<Acceptor> acceptors, const tcp::endpoint& endpoint)
      : shared_(limits, handler, metrics, threads.size()), endpoint_(endpoint) {
    for (std::size_t i = 0; i < threads.size(); ++i) {
      loops_.push_back(
          std::make_shared<Loop>(shared_, threads.loop(i), i, std::move(acceptors[i])));
    }
    for (auto& loop : loops_) loop->start();
  }

  ~ListeningServer() override {
    stop(0);
    shared_.budget->close();
  }

  std::string url() const override { return "http://" + spell(endpoint_); }
  std::uint16_t port() const override { return endpoint_.port(); }

  void stop(std::uint32_t deadline_ms) override {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(deadline_ms);
    for (auto& loop : loops_) loop->shut(Loop::Shut::AfterAnswers);
    {
      MutexLock lock(shared_.mutex);
      while (shared_.loops_open > 0 && shared_.loop_closed.wait_until(shared_.mutex, deadline)) {
      }
      if (shared_.loops_open == 0) return;
    }
    for (auto& loop : loops_) loop->shut(Loop::Shut::Now);
    MutexLock lock(shared_.mutex);
    while (shared_.loops_open > 0) shared_.loop_closed.wait(shared_.mutex);
  }

 private:
  Shared shared_;
  const tcp::endpoint endpoint_;
  std::vector<std::shared_ptr<Loop>> loops_;
};

}  // namespace

std::string_view RequestHead::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (boost::beast::iequals({key.data(), key.size()}, {name.data(), name.size()})) return value;
  }
  return {};
}

Responder::Responder(std::shared_ptr<Target> target) : target_(std::move(target)) {}
Responder::Responder(Responder&&) noexcept = default;

Responder& Responder::operator=(Responder&& other) noexcept {
  if (target_ != nullptr && this != &other) target_->answer(std::nullopt);
  target_ = std::move(other.target_);
  return *this;
}

Responder::~Responder() {
  if (target_ != nullptr) target_->answer(std::nullopt);
}

void Responder::send(Response response) && {
  SLUICE_ASSERT(target_ != nullptr);
  std::exchange(target_, nullptr)->answer(std::move(response));
}

std::shared_ptr<AnswerStream> Responder::stream(Response head) && {
  SLUICE_ASSERT(target_ != nullptr);
  return std::exchange(target_, nullptr)->answer_in_pieces(std::move(head));
}

Result<std::unique_ptr<Server>> Server::listen(Settings settings, IoThreads& threads,
                                               Handler& handler, Metrics& metrics) {
  Result<tcp::endpoint> endpoint = parse_address(settings.address);
  if (!endpoint) return endpoint.error();
  if (endpoint->port() != 0) {
    // Our sockets share the port with each other, and would share it with a second Sluice of this
    // user too, each getting half of the connections: so look first whether it is free.
    Result<Acceptor> probe = bind(threads.loop(0), *endpoint, Sharing::Alone);
    if (!probe) return probe.error();
  }
  std::vector<Acceptor> acceptors;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    Result<Acceptor> acceptor = bind(threads.loop(i), *endpoint, Sharing::WithOurOwn);
    if (!acceptor) return acceptor.error();
    error_code error;
    acceptor->listen(kBacklog, error);
    if (!error && i == 0) *endpoint = acceptor->local_endpoint(error);  // port 0: the one we got
    if (error) return listen_error(*endpoint, error);
    acceptors.push_back(std::move(*acceptor));
  }
  return std::unique_ptr<Server>(std::make_unique<ListeningServer>(
      settings.limits, handler, metrics, threads, std::move(acceptors), *endpoint));
}

}  // namespace sluice::http
