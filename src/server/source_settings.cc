#include "server/source_settings.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "connectors/kafka/config.h"

namespace sluice::server {
namespace {

Error fault(std::string_view name, std::string_view what) {
  return {ErrorCode::InvalidArgument, fmt::format("setting source.kafka.{} {}", name, what)};
}

Result<std::map<std::string, Kind>> read_topics(const toml::node& node) {
  const Error wrong =
      fault("topics", "must say what each topic holds: { \"my-topic\" = \"usage\" }, or events");
  const toml::table* table = node.as_table();
  if (table == nullptr || table->empty()) return wrong;
  std::map<std::string, Kind> topics;
  for (const auto& [topic, value] : *table) {
    const auto kind = kind_from_path_name(value.value_or(std::string_view()));
    if (!kind) return wrong;
    topics.emplace(topic.str(), *kind);
  }
  return topics;
}

// As a stream's destination is read: the same brokers, the same ways to log in.
Result<kafka::Cluster> read_cluster(nlohmann::json cluster,
                                    const std::map<std::string, Kind>& topics) {
  constexpr std::array<std::string_view, 4> kSecurity = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT",
                                                         "SASL_SSL"};
  constexpr std::array<std::string_view, 3> kMechanisms = {"PLAIN", "SCRAM-SHA-256",
                                                           "SCRAM-SHA-512"};
  const auto one_of = [&cluster](const char* name, std::span<const std::string_view> values) {
    const std::string value = cluster.value(name, std::string(values.front()));
    return std::ranges::find(values, value) != values.end();
  };
  if (!cluster.contains("brokers")) return fault("brokers", "is required: host:port, ...");
  if (!one_of("security", kSecurity)) {
    return fault("security", fmt::format("must be one of {}", fmt::join(kSecurity, ", ")));
  }
  if (!one_of("sasl_mechanism", kMechanisms)) {
    return fault("sasl_mechanism", fmt::format("must be one of {}", fmt::join(kMechanisms, ", ")));
  }
  kafka::Cluster read;
  for (const auto& [topic, kind] : topics) {
    cluster["topic"] = topic;
    Result<connectors::kafka::Config> config = connectors::kafka::read_config(cluster);
    if (!config) {
      constexpr std::string_view kPrefix = "destination.credentials.";
      return Error{ErrorCode::InvalidArgument,
                   "setting source.kafka." + config.error().message.substr(kPrefix.size())};
    }
    read = std::move(config->cluster);
  }
  return read;
}

}  // namespace

Result<KafkaSourceSettings> read_kafka_source(const toml::table& table) {
  constexpr std::array<std::string_view, 5> kClusterTexts = {
      "brokers", "security", "sasl_mechanism", "username", "password"};
  KafkaSourceSettings settings;
  nlohmann::json cluster = nlohmann::json::object();
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (name == "topics") {
      auto topics = read_topics(node);
      if (!topics) return topics.error();
      settings.topics = *std::move(topics);
      continue;
    }
    const bool is_cluster = std::ranges::find(kClusterTexts, name) != kClusterTexts.end();
    if (!is_cluster && name != "group" && name != "start") {
      return Error{ErrorCode::InvalidArgument, "unknown setting source.kafka." + name};
    }
    const auto text = node.value<std::string>();
    if (!text || text->empty()) return fault(name, "must be a text");
    if (is_cluster) {
      cluster[name] = *text;
    } else if (name == "group") {
      settings.group = *text;
    } else if (*text == "newest" || *text == "oldest") {
      settings.from_newest = *text == "newest";
    } else {
      return fault("start", "must be oldest or newest");
    }
  }
  if (settings.topics.empty()) return fault("topics", "is required: { \"my-topic\" = \"usage\" }");
  auto read = read_cluster(std::move(cluster), settings.topics);
  if (!read) return read.error();
  settings.cluster = *std::move(read);
  return settings;
}

}  // namespace sluice::server
