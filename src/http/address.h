#pragma once
// Where a listener listens.

#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "base/result.h"

namespace sluice::http {

// "127.0.0.1:8080", "[::1]:8080", "localhost:8080" (which is 127.0.0.1). Other names would have to
// be looked up, and might be several addresses: InvalidArgument says what is right.
Result<boost::asio::ip::tcp::endpoint> parse_address(const std::string& text);

// An IPv6 address in brackets.
std::string spell(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace sluice::http
