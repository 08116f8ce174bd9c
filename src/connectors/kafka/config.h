#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "kafka/configuration.h"

namespace sluice::connectors::kafka {

struct Config {
  sluice::kafka::Cluster cluster;
  std::string topic;
};

// `credentials` has passed the schema. InvalidArgument: "destination.credentials.x: ...".
Result<Config> read_config(const nlohmann::json& credentials);

}  // namespace sluice::connectors::kafka
