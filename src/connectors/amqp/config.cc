#include "connectors/amqp/config.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "connectors/common/settings.h"

namespace sluice::connectors::amqp {
namespace {

constexpr BrokerScheme kScheme{"amqp", 5672, "amqps", 5671};
constexpr std::size_t kNameBytesMax = 255;  // of AMQP's short strings
constexpr std::size_t kLoginBytesMax = 1024;

}  // namespace

Result<Config> read_config(const nlohmann::json& credentials) {
  Config config;
  Result<BrokerUrl> url =
      read_broker_url(credentials.at("url").get_ref<const std::string&>(), kScheme);
  if (!url.has_value()) return wrong_setting("url", url.error().message);
  config.url = *std::move(url);
  const auto text = [&credentials](const char* name, const char* otherwise) {
    return credentials.value(name, std::string(otherwise));
  };
  config.vhost = text("vhost", "/");
  config.exchange = text("exchange", "");
  config.username = text("username", "guest");
  config.password = text("password", "guest");
  const std::pair<const char*, std::string> kNames[] = {{"vhost", config.vhost},
                                                        {"exchange", config.exchange}};
  for (const auto& [name, value] : kNames) {
    if (value.size() > kNameBytesMax || has_control(value)) {
      return wrong_setting(name, "must be at most 255 bytes without control characters");
    }
  }
  for (const char* name : {"username", "password"}) {
    const std::string value = text(name, "guest");
    if (value.size() > kLoginBytesMax || has_control(value)) {
      return wrong_setting(name, "must be at most 1024 bytes without control characters");
    }
  }
  Result<RecordTemplate> key = RecordTemplate::parse(text("routing_key", "sluice.{kind}"));
  if (!key.has_value()) return wrong_setting("routing_key", key.error().message);
  if (key->bytes_max() > kNameBytesMax || has_control(key->text())) {
    return wrong_setting("routing_key", "must give at most 255 bytes without control characters");
  }
  config.routing_key = *std::move(key);
  return config;
}

}  // namespace sluice::connectors::amqp
