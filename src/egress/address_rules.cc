#include "egress/address_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "egress/url.h"

namespace sluice::egress {
namespace {

namespace ip = boost::asio::ip;

struct Rule {
  std::string_view network;
  std::string_view name;
};

// The first match names the address, so the narrower stands first. IANA's special-purpose
// registries, plus the clouds' metadata services.
constexpr Rule kRules[] = {
    {"169.254.169.254/32", "a cloud's metadata address"},
    {"100.100.100.200/32", "a cloud's metadata address"},
    {"168.63.129.16/32", "a cloud's metadata address"},  // public space, but answers inside Azure
    {"0.0.0.0/32", "the unspecified address"},
    {"255.255.255.255/32", "the broadcast address"},
    {"0.0.0.0/8", "a reserved address"},
    {"10.0.0.0/8", "a private address"},
    {"100.64.0.0/10", "a shared address, where devices live"},
    {"127.0.0.0/8", "a loopback address"},
    {"169.254.0.0/16", "a link-local address"},
    {"172.16.0.0/12", "a private address"},
    {"192.0.0.0/24", "a reserved address"},
    {"192.0.2.0/24", "a documentation address"},
    {"192.88.99.0/24", "a reserved address"},  // 6to4 relays
    {"192.168.0.0/16", "a private address"},
    {"198.18.0.0/15", "a benchmarking address"},
    {"198.51.100.0/24", "a documentation address"},
    {"203.0.113.0/24", "a documentation address"},
    {"224.0.0.0/4", "a multicast address"},
    {"240.0.0.0/4", "a reserved address"},

    {"fd00:ec2::254/128", "a cloud's metadata address"},
    {"::/128", "the unspecified address"},
    {"::1/128", "a loopback address"},
    {"::/96", "an IPv4 address inside IPv6"},            // IPv4-compatible
    {"::ffff:0:0/96", "an IPv4 address inside IPv6"},    // IPv4-mapped
    {"::ffff:0:0:0/96", "an IPv4 address inside IPv6"},  // IPv4-translated
    {"64:ff9b::/96", "an IPv4 address inside IPv6"},     // NAT64
    {"64:ff9b:1::/48", "an IPv4 address inside IPv6"},   // NAT64, local use
    {"2002::/16", "an IPv4 address inside IPv6"},        // 6to4
    {"2001::/32", "an IPv4 address inside IPv6"},        // Teredo
    {"2001::/23", "a reserved address"},                 // IETF protocol assignments
    {"2001:db8::/32", "a documentation address"},
    {"3ffe::/16", "a reserved address"},  // the former 6bone
    {"3fff::/20", "a documentation address"},
    {"fc00::/7", "a private address"},
    {"fe80::/10", "a link-local address"},
    {"fec0::/10", "a private address"},  // site-local
    {"ff00::/8", "a multicast address"},
};

struct ParsedRule {
  Network network;
  std::string_view name;
};

const std::vector<ParsedRule>& parsed_rules() {
  static const std::vector<ParsedRule> rules = [] {
    std::vector<ParsedRule> result;
    for (const Rule& rule : kRules) {
      const std::optional<Network> network = parse_network(rule.network);
      SLUICE_ASSERT(network.has_value());
      result.push_back({*network, rule.name});
    }
    return result;
  }();
  return rules;
}

// ISATAP keeps an IPv4 address in the interface identifier, under any prefix.
bool is_isatap(const ip::address_v6::bytes_type& bytes) {
  return (bytes[8] & 0xfd) == 0 && bytes[9] == 0 && bytes[10] == 0x5e && bytes[11] == 0xfe;
}

}  // namespace

std::optional<std::string_view> forbidden_as(const ip::address& address) {
  for (const ParsedRule& rule : parsed_rules()) {
    if (rule.network.contains(address)) return rule.name;
  }
  if (address.is_v4()) return std::nullopt;
  const ip::address_v6::bytes_type bytes = address.to_v6().to_bytes();
  if ((bytes[0] & 0xe0) != 0x20) return "a reserved address";  // outside 2000::/3
  if (is_isatap(bytes)) return "an IPv4 address inside IPv6";
  return std::nullopt;
}

Result<AddressRules> AddressRules::parse(const std::vector<std::string>& allow) {
  AddressRules rules;
  for (const std::string& entry : allow) {
    if (const std::optional<Network> network = parse_network(entry)) {
      rules.networks_.push_back(*network);
      continue;
    }
    // A bare host would be read as port 80: the port must be written.
    const Result<Url> url = parse_url("http://" + entry);
    if (!url.has_value() || entry.find_first_of("/?#") != std::string::npos ||
        !entry.ends_with(':' + std::to_string(url->port))) {
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("[egress] allow: \"{}\" is neither a network such as 10.0.0.0/8, "
                               "nor an address, nor host:port",
                               entry)};
    }
    rules.hosts_.push_back({url->host, url->port});
  }
  return rules;
}

std::optional<std::string_view> AddressRules::refusal(const ip::address& address,
                                                      std::string_view host,
                                                      std::uint16_t port) const {
  const std::optional<std::string_view> reason = forbidden_as(address);
  if (!reason.has_value()) return std::nullopt;
  for (const Network& network : networks_) {
    if (network.contains(address)) return std::nullopt;
  }
  for (const HostPort& allowed : hosts_) {
    if (allowed.host == host && allowed.port == port) return std::nullopt;
  }
  return reason;
}

}  // namespace sluice::egress
