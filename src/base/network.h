#pragma once
// Addresses that share their first bits.

#include <boost/asio/ip/address.hpp>
#include <optional>
#include <string_view>

namespace sluice {

// IPv4 and IPv6 never match each other.
struct Network {
  boost::asio::ip::address address;
  unsigned prefix = 0;
  bool contains(const boost::asio::ip::address& candidate) const;
};

// "10.0.0.0/8", "fd00::/8"; a bare address is a network of one. nullopt: none of these.
std::optional<Network> parse_network(std::string_view text);

}  // namespace sluice
