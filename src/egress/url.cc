#include "egress/url.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <memory>
#include <optional>

#include "egress/http_client.h"

namespace sluice::egress {
namespace {

constexpr std::size_t kUrlBytesMax = 8 * 1024;
constexpr std::size_t kHostBytesMax = 253;  // RFC 1035, as text
constexpr std::size_t kLabelBytesMax = 63;

Error invalid(std::string message) {
  return Error{ErrorCode::InvalidArgument, "the URL " + std::move(message)};
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_host_char(char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '_';
}

std::string to_lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

Result<void> check_characters(std::string_view text) {
  if (text.empty()) return invalid("is empty");
  if (text.size() > kUrlBytesMax) {
    return invalid(fmt::format("is longer than {} bytes", kUrlBytesMax));
  }
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f) {
      return invalid("holds a blank or a control character: percent-encode it");
    }
    if (byte > 0x7f) {
      return invalid(
          "holds a character outside ASCII: percent-encode it, write a host name in its xn-- form");
    }
  }
  return {};
}

// A last label that is a number makes resolvers read the whole host as an address (127.1,
// 0x7f.1, 2130706433).
bool ends_in_number(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string_view last = host.substr(host.rfind('.') + 1);
  if (last.starts_with("0x")) return true;
  return !last.empty() && std::all_of(last.begin(), last.end(), is_digit);
}

// `host` in lower case, without brackets.
Result<void> check_host_name(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() > kHostBytesMax) {
    return invalid(fmt::format("has a host name of over {} characters", kHostBytesMax));
  }
  while (true) {
    const std::size_t dot = host.find('.');
    const std::string_view label = host.substr(0, dot);
    if (label.empty() || label.size() > kLabelBytesMax ||
        !std::all_of(label.begin(), label.end(), is_host_char)) {
      return invalid(
          "has a host that is not a name: use letters, digits, '-' and '_' in labels of 1 to 63, "
          "joined by dots");
    }
    if (dot == std::string_view::npos) return {};
    host.remove_prefix(dot + 1);
  }
}

// Fills in host and is_address from the host as it is written.
Result<void> read_host(std::string_view written, Url& url) {
  boost::system::error_code ec;
  if (written.starts_with('[')) {
    const auto address =
        boost::asio::ip::make_address_v6(std::string(written.substr(1, written.size() - 2)), ec);
    if (ec || !written.ends_with(']')) return invalid("has brackets without an IPv6 address");
    url.host = address.to_string();
    url.is_address = true;
    return {};
  }
  url.host = to_lower(written);
  if (ends_in_number(url.host)) {
    boost::asio::ip::make_address_v4(url.host, ec);
    if (ec) {
      return invalid(
          "has a host that is spelled as a number: write an IPv4 address as four decimal numbers "
          "without leading zeros, such as 192.0.2.1");
    }
    url.is_address = true;
    return {};
  }
  return check_host_name(url.host);
}

Result<void> read_port(std::string_view digits, Url& url) {
  unsigned port = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (ec != std::errc{} || end != digits.data() + digits.size() || port == 0 || port > 65535) {
    return invalid("has a port that is not a number in 1..65535");
  }
  url.port = static_cast<std::uint16_t>(port);
  return {};
}

// Curl's own reading must be ours. Fills in the target, which curl has cleared of dot segments and
// of the fragment.
Result<void> check_against_curl(std::string_view text, Url& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  const std::string zero_terminated(text);
  const CURLUcode code =
      curl_url_set(parsed.get(), CURLUPART_URL, zero_terminated.c_str(), CURLU_DISALLOW_USER);
  if (code != CURLUE_OK) {
    return invalid(fmt::format("cannot be read: {}", curl_url_strerror(code)));
  }
  const auto part = [&parsed](CURLUPart which) {
    char* value = nullptr;
    curl_url_get(parsed.get(), which, &value, CURLU_DEFAULT_PORT);
    const std::unique_ptr<char, decltype(&curl_free)> owned(value, &curl_free);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  Url theirs;
  theirs.tls = part(CURLUPART_SCHEME) == "https";
  const Result<void> host = read_host(part(CURLUPART_HOST).value_or(""), theirs);
  if (!host.has_value() || theirs.host != url.host || theirs.tls != url.tls ||
      part(CURLUPART_PORT) != std::to_string(url.port)) {
    return invalid("has an ambiguous host or port: write it as https://name:port/path");
  }
  url.target = part(CURLUPART_PATH).value_or("/");
  if (const auto query = part(CURLUPART_QUERY); query.has_value()) url.target += "?" + *query;
  return {};
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  if (Result<void> ok = check_characters(text); !ok.has_value()) return ok.error();
  Url url;
  const std::size_t colon = text.find("://");
  const std::string scheme = to_lower(text.substr(0, std::min(colon, std::size_t{8})));
  if (colon == std::string_view::npos || (scheme != "http" && scheme != "https")) {
    return invalid("must begin with http:// or https://");
  }
  url.tls = scheme == "https";
  url.port = url.tls ? 443 : 80;

  const std::string_view rest = text.substr(colon + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) {
    return invalid("holds a user name or password: send credentials in a header");
  }
  if (authority.find('%') != std::string_view::npos) {
    return invalid("has a '%' in its host: write the host plainly, without a zone id");
  }
  const std::size_t host_end = authority.starts_with('[')
                                   ? std::min(authority.find(']'), authority.size() - 1) + 1
                                   : std::min(authority.find(':'), authority.size());
  const std::string_view host = authority.substr(0, host_end);
  const std::string_view port = authority.substr(host_end);
  if (host.empty()) return invalid("has no host");
  if (Result<void> ok = read_host(host, url); !ok.has_value()) return ok.error();
  if (!port.empty()) {
    if (port.front() != ':') return invalid("has a host followed by something else than a port");
    if (Result<void> ok = read_port(port.substr(1), url); !ok.has_value()) return ok.error();
  }
  if (Result<void> ok = check_against_curl(text, url); !ok.has_value()) return ok.error();

  const bool usual_port = url.port == (url.tls ? 443 : 80);
  url.authority = usual_port ? std::string(host) : fmt::format("{}:{}", host, url.port);
  const std::string_view path = rest.substr(authority.size());
  url.shown = fmt::format("{}://{}{}", scheme, authority, path.substr(0, path.find_first_of("?#")));
  return url;
}

Result<Url> parse_host_and_port(std::string_view text, std::uint16_t default_port) {
  if (text.find_first_of("/?#") != text.npos) return invalid("is more than host:port");
  Result<Url> url = parse_url(fmt::format("http://{}", text));
  if (!url.has_value()) return url;
  const bool names_port = !text.ends_with(']') && text.find(':') != text.npos;
  if (!names_port) url->port = default_port;
  url->authority = host_and_port(url->host, url->port);
  url->shown = url->authority;
  return url;
}

std::string host_and_port(std::string_view host, std::uint16_t port) {
  const bool brackets = host.find(':') != std::string_view::npos;
  return brackets ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Result<void> validate_url(std::string_view url) {
  const Result<Url> parsed = parse_url(url);
  if (!parsed.has_value()) return parsed.error();
  return {};
}

}  // namespace sluice::egress
