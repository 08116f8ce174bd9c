#include "connectors/kafka/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "connectors/common/settings.h"

namespace sluice::connectors::kafka {
namespace {

constexpr std::size_t kTopicBytesMax = 249;  // org.apache.kafka.common.internals.Topic

bool is_topic(std::string_view name) {
  return !name.empty() && name.size() <= kTopicBytesMax && name != "." && name != ".." &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

}  // namespace

Result<Config> read_config(const nlohmann::json& credentials) {
  Config config;
  Result<std::string> brokers =
      sluice::kafka::read_brokers(credentials.at("brokers").get_ref<const std::string&>());
  if (!brokers.has_value()) return wrong_setting("brokers", brokers.error().message);
  config.cluster.brokers = *std::move(brokers);
  config.topic = credentials.at("topic").get<std::string>();
  if (!is_topic(config.topic)) {
    return wrong_setting("topic", "must be up to 249 letters, digits, '.', '_' and '-'");
  }
  const auto security = credentials.value("security", std::string("PLAINTEXT"));
  config.cluster.secure = security.ends_with("SSL");
  const bool logs_in = security.starts_with("SASL");
  for (const char* name : {"username", "password"}) {
    const bool given = credentials.contains(name);
    if (given && !logs_in)
      return wrong_setting(name, fmt::format("is of no use with {}", security));
    if (!logs_in) continue;
    if (!given) return wrong_setting(name, fmt::format("is required with {}", security));
    const auto& value = credentials.at(name).get_ref<const std::string&>();
    if (value.empty() || has_control(value)) {
      return wrong_setting(name, "must not be empty nor hold control characters");
    }
  }
  if (!logs_in) return config;
  config.cluster.sasl_mechanism = credentials.value("sasl_mechanism", std::string("PLAIN"));
  config.cluster.username = credentials.at("username").get<std::string>();
  config.cluster.password = credentials.at("password").get<std::string>();
  return config;
}

}  // namespace sluice::connectors::kafka
