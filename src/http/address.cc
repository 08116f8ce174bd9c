#include "http/address.h"

#include <fmt/format.h>

#include <charconv>

namespace sluice::http {

using boost::asio::ip::tcp;

Result<tcp::endpoint> parse_address(const std::string& text) {
  const Error error{ErrorCode::InvalidArgument,
                    fmt::format("cannot listen on \"{}\": give an IP address (or localhost) and a "
                                "port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080",
                                text)};
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return error;
  std::string host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host == "localhost" && !bracketed) host = "127.0.0.1";

  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, wrong] = std::from_chars(text.data() + colon + 1, end, port);
  boost::system::error_code bad_host;
  const auto address = boost::asio::ip::make_address(host, bad_host);
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

}  // namespace sluice::http
