#pragma once
#include <map>
#include <string>

#include "base/result.h"
#include "kafka/configuration.h"
#include "model/kind.h"

namespace toml {
inline namespace v3 {
class table;
}
}  // namespace toml

namespace sluice::server {

// [source.kafka]
struct KafkaSourceSettings {
  kafka::Cluster cluster;
  std::map<std::string, Kind> topics;
  std::string group = "sluice";
  bool from_newest = false;  // where the group is new
};

// InvalidArgument: one sentence that names the setting.
Result<KafkaSourceSettings> read_kafka_source(const toml::table& table);

}  // namespace sluice::server
