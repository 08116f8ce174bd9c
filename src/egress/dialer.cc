#include "egress/dialer.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <vector>

#include "base/assert.h"
#include "base/base64.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::milliseconds kNextAddressAfter{250};  // RFC 8305, 5
constexpr int kKeepAliveSeconds = 30;
constexpr std::uint16_t kProxyPort = 1080;  // curl's, when the URL names none
constexpr std::uint16_t kTlsProxyPort = 443;

Error unavailable(std::string message) { return {ErrorCode::Unavailable, std::move(message)}; }

// Connects to several addresses, the first to answer wins. Shared by the coroutine and the
// connects under way, which may end after it.
struct Race {
  explicit Race(asio::steady_timer& wake_in) : wake(&wake_in) {}

  asio::steady_timer* wake;  // null: nobody waits any more
  std::vector<std::unique_ptr<Socket>> sockets;
  std::vector<std::string> peers;  // beside sockets
  std::size_t running = 0;
  std::optional<std::size_t> winner;
  boost::system::error_code fault;  // of the last that failed
  std::size_t failed = 0;           // which that was
};

// Of this host or process.
bool is_shortage(const boost::system::error_code& fault) {
  const int number = fault.value();
  return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

boost::system::error_code open(Socket& socket, const asio::ip::address& address) {
  const int family = address.is_v6() ? AF_INET6 : AF_INET;
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
  boost::system::error_code ec;
  if (fd < 0) return {errno, boost::system::system_category()};
  socket.assign(address.is_v6() ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), fd, ec);
  if (ec) {
    ::close(fd);
    return ec;
  }
  // None of them failing would make a connection unusable.
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveSeconds, sizeof(kKeepAliveSeconds));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepAliveSeconds, sizeof(kKeepAliveSeconds));
  return {};
}

void begin_connect(const std::shared_ptr<Race>& race, asio::io_context& loop,
                   const asio::ip::address& address, std::uint16_t port) {
  const std::size_t i = race->sockets.size();
  race->sockets.push_back(std::make_unique<Socket>(loop));
  race->peers.push_back(host_and_port(address.to_string(), port));
  if (const auto ec = open(*race->sockets[i], address); ec) {
    race->fault = ec;
    race->failed = i;
    return;
  }
  ++race->running;
  race->sockets[i]->async_connect(asio::ip::tcp::endpoint(address, port),
                                  [race, i](boost::system::error_code ec) {
                                    --race->running;
                                    if (!ec && !race->winner.has_value()) race->winner = i;
                                    if (ec) {
                                      race->fault = ec;
                                      race->failed = i;
                                    }
                                    if (race->wake != nullptr) race->wake->cancel();
                                  });
}

}  // namespace

// The proxy may carry credentials: never show it.
std::optional<Dialer::Proxy> Dialer::parse_proxy(const std::string& text) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), &curl_url_cleanup);
  const bool known_scheme = text.starts_with("http://") || text.starts_with("https://");
  if (!known_scheme || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return std::nullopt;
  }
  const auto part = [&url](CURLUPart which, unsigned flags) {
    char* value = nullptr;
    curl_url_get(url.get(), which, &value, flags);
    const std::unique_ptr<char, decltype(&curl_free)> owned(value, &curl_free);
    return std::string(value == nullptr ? "" : value);
  };
  Proxy proxy;
  proxy.tls = text.starts_with("https://");
  proxy.host = part(CURLUPART_HOST, 0);
  if (proxy.host.starts_with('[')) proxy.host = proxy.host.substr(1, proxy.host.size() - 2);
  proxy.port = proxy.tls ? kTlsProxyPort : kProxyPort;
  const std::string port = part(CURLUPART_PORT, 0);
  std::from_chars(port.data(), port.data() + port.size(), proxy.port);
  const std::string user = part(CURLUPART_USER, CURLU_URLDECODE);
  const std::string password = part(CURLUPART_PASSWORD, CURLU_URLDECODE);
  if (!user.empty() || !password.empty()) {
    proxy.authorization = "Basic " + base64(user + ":" + password);
  }
  return proxy;
}

bool is_proxy(const std::string& proxy) { return Dialer::parse_proxy(proxy).has_value(); }

Dialer::Dialer(asio::io_context& loop, const Clock& clock, Resolver& resolver, Options options)
    : loop_(loop),
      clock_(clock),
      resolver_(resolver),
      proxy_(options.proxy.empty() ? std::nullopt : parse_proxy(options.proxy)),
      tls_(std::move(options.ca_file)) {
  SLUICE_ASSERT(options.proxy.empty() || proxy_.has_value());
}

std::optional<ViaProxy> Dialer::via_proxy(const Url& url) const {
  if (!proxy_.has_value() || url.tls) return std::nullopt;
  return ViaProxy{proxy_->authorization};
}

Awaitable<Result<std::unique_ptr<Connection>>> Dialer::dial(Target target, Attempt& attempt,
                                                            std::span<char> room) {
  attempt.enter(proxied() ? Stage::Proxy : Stage::Connect);
  const Url& url = target.url;
  // Which of the two is decided before it is waited for.
  Awaitable<Result<std::unique_ptr<Connection>>> making =
      proxied() ? dial_proxy(target, attempt, room) : connect(target.addresses, url.port, attempt);
  Result<std::unique_ptr<Connection>> made = co_await std::move(making);
  if (!made.has_value() || !url.tls) co_return std::move(made);
  attempt.enter(Stage::Tls);
  TlsContext& tls = target.tls == nullptr ? tls_ : *target.tls;
  const Result<void> shaken = co_await shake_hands(**made, tls, url.host, attempt, target.http);
  if (!shaken.has_value()) co_return shaken.error();
  co_return std::move(made);
}

Awaitable<Result<std::unique_ptr<Connection>>> Dialer::dial_proxy(Target target, Attempt& attempt,
                                                                  std::span<char> room) {
  Addresses addresses;
  boost::system::error_code not_an_address;
  const auto address = asio::ip::make_address(proxy_->host, not_an_address);
  if (!not_an_address) {
    addresses.push_back(address);
  } else {
    const Result<Addresses> found =
        co_await resolver_.resolve(proxy_->host, target.organisation, attempt.deadline());
    if (!found.has_value()) {
      if (found.error().code != ErrorCode::Unavailable) co_return found.error();
      co_return unavailable("the proxy's name cannot be resolved");
    }
    addresses = *found;
  }
  Result<std::unique_ptr<Connection>> made = co_await connect(addresses, proxy_->port, attempt);
  if (!made.has_value()) co_return std::move(made);
  if (proxy_->tls) {
    const Result<void> shaken = co_await shake_hands(**made, tls_, proxy_->host, attempt);
    if (!shaken.has_value()) co_return shaken.error();
  }
  if (target.url.tls || !target.http) {
    const Result<void> tunnelled = co_await tunnel(**made, target.url, attempt, room);
    if (!tunnelled.has_value()) co_return tunnelled.error();
  }
  co_return std::move(made);
}

Awaitable<Result<std::unique_ptr<Connection>>> Dialer::connect(const Addresses& addresses,
                                                               std::uint16_t port,
                                                               Attempt& attempt) {
  SLUICE_ASSERT(!addresses.empty());
  // However the coroutine ends: closes what lost, and what still runs.
  struct Running {
    std::shared_ptr<Race> race;
    ~Running() {
      race->wake = nullptr;
      race->sockets.clear();
    }
  };
  const Running running{std::make_shared<Race>(attempt.wake())};
  Race& race = *running.race;
  auto next_at = std::chrono::steady_clock::now();
  while (!race.winner.has_value()) {
    const bool more = race.sockets.size() < addresses.size();
    if (more && (race.running == 0 || std::chrono::steady_clock::now() >= next_at)) {
      begin_connect(running.race, loop_, addresses[race.sockets.size()], port);
      next_at = std::chrono::steady_clock::now() + kNextAddressAfter;
      continue;
    }
    if (race.running == 0) {
      if (is_shortage(race.fault)) attempt.enter(Stage::Own);
      const std::string& peer = race.peers[race.failed];
      if (race.fault.value() == ECONNREFUSED) {
        co_return unavailable("connection refused by " + peer);
      }
      co_return unavailable(fmt::format("cannot connect to {}: {}", peer,
                                        std::generic_category().message(race.fault.value())));
    }
    if (attempt.expired()) co_return attempt.timed_out("connecting to " + race.peers.back());
    const auto until = more ? next_at : std::chrono::steady_clock::time_point::max();
    const bool go_on = co_await attempt.wait_until(until);
    if (!go_on) co_return Attempt::cancelled();
  }
  Socket& won = *race.sockets[*race.winner];
  co_return std::make_unique<Connection>(std::move(won), race.peers[*race.winner]);
}

Awaitable<Result<void>> Dialer::shake_hands(Connection& connection, TlsContext& tls,
                                            std::string host, Attempt& attempt, bool http) {
  if (!connection.begin_tls(tls, host, http)) {
    attempt.enter(Stage::Own);
    co_return unavailable("TLS: the certificate authorities ([egress] ca_file) cannot be read");
  }
  while (true) {
    const Connection::Step step = connection.shake_hands();
    if (step == Connection::Step::Done) co_return Result<void>{};
    if (step != Connection::Step::NotNow) co_return unavailable(connection.tls_failure(host));
    if (attempt.expired()) {
      co_return attempt.timed_out("in the TLS handshake with " + connection.peer());
    }
    const bool go_on = co_await connection.wait(attempt);
    if (!go_on) co_return Attempt::cancelled();
  }
}

Awaitable<Result<void>> Dialer::tunnel(Connection& connection, const Url& url, Attempt& attempt,
                                       std::span<char> room) {
  const std::string target = host_and_port(url.host, url.port);
  std::string head = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", target);
  if (!proxy_->authorization.empty()) {
    head += fmt::format("Proxy-Authorization: {}\r\n", proxy_->authorization);
  }
  head += "\r\n";
  Gather request(head, {});
  AnswerReader answer(AnswerReader::To::Connect, clock_);
  const Result<void> done = co_await exchange(connection, request, answer, attempt, room);
  if (!done.has_value()) co_return done.error();
  if (answer.status() >= 300) {
    const bool beyond = answer.status() == 502 || answer.status() == 504;
    if (beyond) attempt.enter(Stage::Connect);  // the proxy itself works
    co_return unavailable(fmt::format("the proxy answered {} to CONNECT", answer.status()));
  }
  if (!answer.whole()) co_return unavailable("the proxy's answer to CONNECT was cut short");
  attempt.end_at_deadline();
  co_return Result<void>{};
}

}  // namespace sluice::egress
