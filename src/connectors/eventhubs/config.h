#pragma once
// An event hub as its connection string names it, and what proves to it who sends. Pure.

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace sluice::connectors::eventhubs {

struct Config {
  std::string url;  // of the hub: "https://example.servicebus.windows.net/records"
  std::string key_name;
  std::string key;
};

// InvalidArgument says what is missing, without a secret.
Result<Config> read_connection_string(std::string_view text);

// A shared access signature for the hub, good for an hour.
// https://learn.microsoft.com/rest/api/eventhub/generate-sas-token
std::string shared_access_signature(const Config& config, WallTime now);

}  // namespace sluice::connectors::eventhubs
