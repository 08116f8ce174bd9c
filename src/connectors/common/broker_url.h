#pragma once
// The URL of a broker that speaks something else than HTTP.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::connectors {

struct BrokerUrl {
  std::string host;
  std::uint16_t port = 0;
  bool secure = false;
  std::string shown;  // fit for messages
};

struct BrokerScheme {
  std::string_view plain;  // "amqp"
  std::uint16_t plain_port;
  std::string_view secure;
  std::uint16_t secure_port;
};

// scheme://host:port, read as strictly as URLs of requests are, and nothing behind it.
// InvalidArgument says what is wrong.
Result<BrokerUrl> read_broker_url(std::string_view text, const BrokerScheme& scheme);

}  // namespace sluice::connectors
