#include "http/server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/string.hpp>
#include <cerrno>

#include "http/address.h"
#include "http/loop.h"
#include "http/responder_target.h"

namespace sluice::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 4096;  // the kernel caps it at net.core.somaxconn

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

// One address with a socket on every loop.
struct Listening {
  tcp::endpoint endpoint;  // with the port really bound
  std::vector<Acceptor> acceptors;
};

Result<Listening> listen_on(const std::string& address, IoThreads& threads) {
  Result<tcp::endpoint> endpoint = parse_address(address);
  if (!endpoint) return endpoint.error();
  if (endpoint->port() != 0) {
    // Our sockets share the port with each other, and would share it with a second Sluice of this
    // user too, each getting half of the connections: so look first whether it is free.
    Result<Acceptor> probe = bind(threads.loop(0), *endpoint, Sharing::Alone);
    if (!probe) return probe.error();
  }
  Listening listening;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    Result<Acceptor> acceptor = bind(threads.loop(i), *endpoint, Sharing::WithOurOwn);
    if (!acceptor) return acceptor.error();
    error_code error;
    acceptor->listen(kBacklog, error);
    if (!error && i == 0) *endpoint = acceptor->local_endpoint(error);  // port 0: the one we got
    if (error) return listen_error(*endpoint, error);
    listening.acceptors.push_back(std::move(*acceptor));
  }
  listening.endpoint = *endpoint;
  return listening;
}

class ListeningServer final : public Server {
 public:
  ListeningServer(const Settings& settings, std::shared_ptr<const TlsContext> tls, Handler& handler,
                  Metrics& metrics, IoThreads& threads, std::vector<Listening> listening)
      : tls_files_(settings.tls),
        shared_(settings, handler, metrics, threads.size()),
        url_((tls ? "https://" : "http://") + spell(listening.front().endpoint)),
        admin_url_(listening.size() < 2 ? "" : "http://" + spell(listening.back().endpoint)),
        port_(listening.front().endpoint.port()) {
    set_tls(std::move(tls));
    for (std::size_t i = 0; i < threads.size(); ++i) {
      std::vector<Acceptor> acceptors;
      acceptors.reserve(listening.size());
      for (Listening& one : listening) acceptors.push_back(std::move(one.acceptors[i]));
      loops_.push_back(std::make_shared<Loop>(shared_, threads.loop(i), i, std::move(acceptors)));
    }
    for (auto& loop : loops_) loop->start();
  }

  ~ListeningServer() override {
    stop(0);
    shared_.budget->close();
  }

  std::string url() const override { return url_; }
  std::uint16_t port() const override { return port_; }
  std::string admin_url() const override { return admin_url_; }

  Result<void> reload_tls() override {
    if (!tls_files_) return Error{ErrorCode::NotFound, "the listener is without TLS"};
    auto loaded = TlsContext::load(*tls_files_);
    if (!loaded) return loaded.error();
    set_tls(std::move(*loaded));
    return {};
  }

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
  void set_tls(std::shared_ptr<const TlsContext> tls) {
    const MutexLock lock(shared_.mutex);
    shared_.tls_context = std::move(tls);
  }

  const std::optional<TlsFiles> tls_files_;
  Shared shared_;
  const std::string url_;
  const std::string admin_url_;
  const std::uint16_t port_;
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
  std::shared_ptr<const TlsContext> tls;
  if (settings.tls) {
    auto loaded = TlsContext::load(*settings.tls);
    if (!loaded) return loaded.error();
    tls = std::move(*loaded);
  }
  std::vector<Listening> listening;
  for (const std::string& address : {settings.address, settings.admin_address}) {
    if (address.empty() && !listening.empty()) continue;  // no admin listener
    Result<Listening> one = listen_on(address, threads);
    if (!one) return one.error();
    listening.push_back(std::move(*one));
  }
  return std::unique_ptr<Server>(std::make_unique<ListeningServer>(
      settings, std::move(tls), handler, metrics, threads, std::move(listening)));
}

}  // namespace sluice::http
