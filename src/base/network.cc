#include "base/network.h"

#include <algorithm>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <span>
#include <string>

namespace sluice {
namespace {

namespace ip = boost::asio::ip;

bool same_prefix(std::span<const unsigned char> a, std::span<const unsigned char> b,
                 unsigned prefix) {
  const std::size_t whole = prefix / 8;
  if (!std::equal(a.begin(), a.begin() + whole, b.begin())) return false;
  const unsigned rest = prefix % 8;
  return rest == 0 || (a[whole] >> (8 - rest)) == (b[whole] >> (8 - rest));
}

}  // namespace

bool Network::contains(const ip::address& candidate) const {
  if (candidate.is_v4() != address.is_v4()) return false;
  if (candidate.is_v4()) {
    return same_prefix(candidate.to_v4().to_bytes(), address.to_v4().to_bytes(), prefix);
  }
  return same_prefix(candidate.to_v6().to_bytes(), address.to_v6().to_bytes(), prefix);
}

std::optional<Network> parse_network(std::string_view text) {
  boost::system::error_code error;
  const std::string copy(text);
  const auto v4 = ip::make_network_v4(copy, error);
  if (!error) return Network{v4.address(), v4.prefix_length()};
  const auto v6 = ip::make_network_v6(copy, error);
  if (!error) return Network{v6.address(), v6.prefix_length()};
  const auto alone = ip::make_address(copy, error);
  if (error || (alone.is_v6() && alone.to_v6().scope_id() != 0)) return std::nullopt;
  return Network{alone, alone.is_v4() ? 32u : 128u};
}

}  // namespace sluice
