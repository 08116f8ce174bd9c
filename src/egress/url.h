#pragma once
// The one reading of a destination's URL, so that what is checked is what is connected to.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::egress {

struct Url {
  bool tls = false;
  std::string host;  // lower case; an IPv6 literal in its canonical spelling, without brackets
  std::uint16_t port = 0;
  bool is_address = false;  // `host` is an IP literal
  std::string authority;    // for the Host header: as written, without the scheme's own port
  std::string target;       // path and query, as they go out
  // Scheme, host, port and path: fit for messages. The query is left out, it may hold secrets.
  std::string shown;
};

// As validate_url() in http_client.h. Our own cut of the authority and curl's must agree, else the
// URL is refused: a host that two parsers read differently is how address rules are got round.
Result<Url> parse_url(std::string_view text);

// Of "host:port" or "host": host, port and is_address, read as strictly.
Result<Url> parse_host_and_port(std::string_view text, std::uint16_t default_port);

// "host:port", with brackets around an IPv6 literal.
std::string host_and_port(std::string_view host, std::uint16_t port);

}  // namespace sluice::egress
