#include "connectors/eventhubs/config.h"

#include <fmt/format.h>

#include "base/base64.h"
#include "connectors/common/settings.h"
#include "connectors/common/text.h"
#include "egress/http_client.h"
#include "signing/body_digest.h"

namespace sluice::connectors::eventhubs {
namespace {

constexpr std::int64_t kTokenLifeS = 3600;
constexpr std::string_view kScheme = "sb://";

// The value of a `name=value` among those between semicolons; "" where there is none.
std::string_view value_of(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(';'));
    const std::size_t equals = part.find('=');
    if (equals != part.npos && same_name(trim(part.substr(0, equals)), name)) {
      return trim(part.substr(equals + 1));
    }
    text.remove_prefix(std::min(part.size() + 1, text.size()));
  }
  return "";
}

}  // namespace

Result<Config> read_connection_string(std::string_view text) {
  const auto wrong = [](std::string_view what) { return wrong_setting("connection_string", what); };
  std::string_view endpoint = value_of(text, "Endpoint");
  if (!endpoint.starts_with(kScheme)) return wrong("has no Endpoint=sb://...");
  endpoint.remove_prefix(kScheme.size());
  while (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  Config config;
  config.key_name = value_of(text, "SharedAccessKeyName");
  config.key = value_of(text, "SharedAccessKey");
  if (config.key_name.empty() || config.key.empty()) {
    return wrong("has no SharedAccessKeyName=...;SharedAccessKey=...");
  }
  const std::string_view hub = value_of(text, "EntityPath");
  if (hub.empty()) {
    return wrong("has no EntityPath=<event hub>: take the event hub's own, not the namespace's");
  }
  config.url = fmt::format("https://{}/{}", endpoint, percent_encoded(hub, /*keep_slashes=*/true));
  const Result<void> valid = egress::validate_url(config.url);
  if (!valid.has_value()) return wrong("Endpoint: " + valid.error().message);
  if (endpoint.find_first_of("/?#") != endpoint.npos)
    return wrong("Endpoint: must be a host alone");
  return config;
}

std::string shared_access_signature(const Config& config, WallTime now) {
  const std::string resource = percent_encoded(config.url);
  const std::int64_t end_s = now.ms / 1000 + kTokenLifeS;
  const std::string mac =
      signing::hmac_sha256(config.key, fmt::format("{}\n{}", resource, end_s), {});
  return fmt::format("SharedAccessSignature sr={}&sig={}&se={}&skn={}", resource,
                     percent_encoded(base64(mac)), end_s, percent_encoded(config.key_name));
}

}  // namespace sluice::connectors::eventhubs
