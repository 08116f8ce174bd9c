#pragma once
// Which addresses a request may go to. Pure.

#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/network.h"
#include "base/result.h"

namespace sluice::egress {

// Why an address is never a destination by itself, as "a loopback address"; nullopt: it is public.
// IPv6 outside 2000::/3 is refused whole, and so is every IPv6 spelling of an IPv4 address, public
// or not: the network might turn it into the very address that is refused.
std::optional<std::string_view> forbidden_as(const boost::asio::ip::address& address);

class AddressRules {
 public:
  // Entries are networks ("10.0.0.0/8"), addresses or "host:port". InvalidArgument names the bad
  // one.
  static Result<AddressRules> parse(const std::vector<std::string>& allow);

  // forbidden_as(), unless an exception allows it. `host` as in Url: an entry host:port holds for
  // whatever that name resolves to.
  std::optional<std::string_view> refusal(const boost::asio::ip::address& address,
                                          std::string_view host, std::uint16_t port) const;

 private:
  struct HostPort {
    std::string host;
    std::uint16_t port = 0;
  };
  std::vector<Network> networks_;
  std::vector<HostPort> hosts_;
};

}  // namespace sluice::egress
