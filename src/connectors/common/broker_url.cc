#include "connectors/common/broker_url.h"

#include <fmt/format.h>

#include "egress/url.h"

namespace sluice::connectors {

Result<BrokerUrl> read_broker_url(std::string_view text, const BrokerScheme& scheme) {
  const auto wrong = [](std::string message) {
    return Error{ErrorCode::InvalidArgument, std::move(message)};
  };
  const std::size_t colon = std::min(text.find("://"), text.size());
  const std::string_view given = text.substr(0, colon);
  if (colon == text.size() || (given != scheme.plain && given != scheme.secure)) {
    return wrong(
        fmt::format("the URL must begin with {}:// or {}://", scheme.plain, scheme.secure));
  }
  std::string_view authority = text.substr(colon + 3);
  if (authority.ends_with('/')) authority.remove_suffix(1);
  if (authority.find('@') != authority.npos) {
    return wrong("the URL holds a user name or password: give username and password instead");
  }
  BrokerUrl url;
  url.secure = given == scheme.secure;
  const Result<egress::Url> read =
      egress::parse_host_and_port(authority, url.secure ? scheme.secure_port : scheme.plain_port);
  if (!read.has_value()) return read.error();
  url.host = read->host;
  url.port = read->port;
  url.shown = fmt::format("{}://{}", given, read->authority);
  return url;
}

}  // namespace sluice::connectors
