#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "connectors/common/broker_url.h"
#include "connectors/common/record_template.h"
#include "connectors/mqtt/packets.h"

namespace sluice::connectors::mqtt {

struct Config {
  BrokerUrl url;
  RecordTemplate topic;
  Login login;  // its client id is not of the credentials
};

// `credentials` has passed the schema. InvalidArgument: "destination.credentials.x: ...".
Result<Config> read_config(const nlohmann::json& credentials);

}  // namespace sluice::connectors::mqtt
