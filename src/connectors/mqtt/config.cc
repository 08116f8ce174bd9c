#include "connectors/mqtt/config.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "connectors/common/settings.h"

namespace sluice::connectors::mqtt {
namespace {

constexpr BrokerScheme kScheme{"mqtt", 1883, "mqtts", 8883};
constexpr std::size_t kTextBytesMax = 65'535;

}  // namespace

Result<Config> read_config(const nlohmann::json& credentials) {
  Config config;
  Result<BrokerUrl> url =
      read_broker_url(credentials.at("url").get_ref<const std::string&>(), kScheme);
  if (!url.has_value()) return wrong_setting("url", url.error().message);
  config.url = *std::move(url);
  const std::string text =
      credentials.value("topic", std::string("sluice/{organisation}/{kind}/{endpoint}"));
  Result<RecordTemplate> topic = RecordTemplate::parse(text);
  if (!topic.has_value()) return wrong_setting("topic", topic.error().message);
  if (text.empty() || text.starts_with('$') || text.find_first_of("+#") != text.npos ||
      has_control(text) || topic->bytes_max() > kTextBytesMax) {
    return wrong_setting("topic",
                         "must be a topic name: no '+', '#' nor control characters, no '$' first");
  }
  config.topic = *std::move(topic);
  config.login.version =
      credentials.value("version", std::string("5")) == "5" ? Version::V5 : Version::V311;
  config.login.username = credentials.value("username", std::string());
  config.login.password = credentials.value("password", std::string());
  for (const auto& [name, value] : {std::pair("username", config.login.username),
                                    std::pair("password", config.login.password)}) {
    if (value.size() > kTextBytesMax) return wrong_setting(name, "must be at most 65535 bytes");
  }
  if (config.login.username.empty() && !config.login.password.empty()) {
    return wrong_setting("username", "is required with a password");
  }
  return config;
}

}  // namespace sluice::connectors::mqtt
