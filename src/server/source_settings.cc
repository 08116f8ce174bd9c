#include "server/source_settings.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <nlohmann/json.hpp>
#include <string_view>

#include "api/schema.h"
#include "connectors/connector.h"
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
Result<kafka::Cluster> read_cluster(nlohmann::json given,
                                    const std::map<std::string, Kind>& topics) {
  constexpr std::string_view kTheirs = "destination.credentials.";
  const std::string_view schema = connectors::find_connector("Kafka")->schema_json;
  kafka::Cluster cluster;
  for (const auto& [topic, kind] : topics) {
    given["topic"] = topic;
    api::Faults faults;
    const nlohmann::json complete = api::complete_settings(schema, given, "source.kafka", faults);
    if (!faults.empty()) {
      const api::Fault& first = faults.list().front();
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("setting {}: {}", first.property, first.message)};
    }
    Result<connectors::kafka::Config> config = connectors::kafka::read_config(complete);
    if (!config) {
      return Error{ErrorCode::InvalidArgument,
                   "setting source.kafka." + config.error().message.substr(kTheirs.size())};
    }
    cluster = std::move(config->cluster);
  }
  return cluster;
}

}  // namespace

Result<KafkaSourceSettings> read_kafka_source(const toml::table& table) {
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
    const auto text = node.value<std::string>();
    if (!text || text->empty()) return fault(name, "must be a text");
    if (name == "group") {
      settings.group = *text;
    } else if (name != "start") {
      cluster[name] = *text;
    } else if (*text == "newest" || *text == "oldest") {
      settings.from_newest = *text == "newest";
    } else {
      return fault("start", "must be oldest or newest");
    }
  }
  if (settings.topics.empty()) {
    return fault("topics", "is required: { \"my-topic\" = \"usage\" }");
  }
  auto read = read_cluster(std::move(cluster), settings.topics);
  if (!read) return read.error();
  settings.cluster = *std::move(read);
  return settings;
}

}  // namespace sluice::server
