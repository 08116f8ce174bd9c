#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "connectors/common/broker_url.h"
#include "connectors/common/record_template.h"

namespace sluice::connectors::amqp {

struct Config {
  BrokerUrl url;
  std::string vhost;
  std::string exchange;
  RecordTemplate routing_key;
  std::string username;
  std::string password;
};

// `credentials` has passed the schema. InvalidArgument: "destination.credentials.x: ...".
Result<Config> read_config(const nlohmann::json& credentials);

}  // namespace sluice::connectors::amqp
