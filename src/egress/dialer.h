#pragma once
// Makes connections: to a destination, or through the operator's proxy to it.

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/awaitable.h"
#include "base/clock.h"
#include "base/result.h"
#include "egress/attempt.h"
#include "egress/connection.h"
#include "egress/exchange.h"
#include "egress/resolver.h"
#include "egress/tls.h"
#include "egress/url.h"
#include "model/ids.h"

namespace sluice::egress {

// Whether `proxy` is a URL that a Dialer can use: http or https, with or without credentials.
bool is_proxy(const std::string& proxy);

// Threads: the loop's. Outlives the coroutines that wait on it, or its loop never runs again.
class Dialer {
 public:
  struct Options {
    std::string ca_file;  // "" = the system's authorities
    std::string proxy;    // "" = none; else one that is_proxy()
  };

  Dialer(boost::asio::io_context& loop, const Clock& clock, Resolver& resolver, Options options);

  bool proxied() const { return proxy_.has_value(); }
  // How a plain request names itself to the proxy; nullopt: it goes to the destination itself.
  std::optional<ViaProxy> via_proxy(const Url& url) const;

  struct Target {
    const Url& url;
    const Addresses& addresses;
    OrganisationId organisation;
    TlsContext* tls;   // null: the server's
    bool http = true;  // else a proxy only passes bytes on
  };
  // A connection on which a request may be sent. Tries the addresses, which have passed the rules,
  // a quarter of a second apart; with a proxy they are not used. The references outlive the
  // coroutine, `room` as exchange() wants it.
  Awaitable<Result<std::unique_ptr<Connection>>> dial(Target target, Attempt& attempt,
                                                      std::span<char> room);

 private:
  struct Proxy {
    bool tls = false;
    std::string host;
    std::uint16_t port = 0;
    std::string authorization;
  };
  static std::optional<Proxy> parse_proxy(const std::string& text);
  friend bool is_proxy(const std::string& proxy);

  Awaitable<Result<std::unique_ptr<Connection>>> dial_proxy(Target target, Attempt& attempt,
                                                            std::span<char> room);
  Awaitable<Result<std::unique_ptr<Connection>>> connect(const Addresses& addresses,
                                                         std::uint16_t port, Attempt& attempt);
  Awaitable<Result<void>> shake_hands(Connection& connection, TlsContext& tls, std::string host,
                                      Attempt& attempt, bool http = true);
  Awaitable<Result<void>> tunnel(Connection& connection, const Url& url, Attempt& attempt,
                                 std::span<char> room);

  boost::asio::io_context& loop_;
  const Clock& clock_;
  Resolver& resolver_;
  const std::optional<Proxy> proxy_;
  TlsContext tls_;
};

}  // namespace sluice::egress
