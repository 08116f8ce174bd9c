#pragma once
// What the AWS connection types have in common of a destination's credentials.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "connectors/common/aws/client.h"
#include "connectors/common/aws/endpoint.h"

namespace sluice::connectors::aws {

struct Settings {
  std::string region;
  std::string endpoint_url;  // "" = AWS's own
  Access access;
};

// `credentials` has passed its type's schema. InvalidArgument: "destination.credentials.x: ...".
Result<Settings> read_settings(const nlohmann::json& credentials);
// Beyond that: requests can be made of them.
Result<Settings> usable_settings(const nlohmann::json& credentials);

Client::Options client_options(std::string_view service, Settings settings,
                               const Destination& destination);

}  // namespace sluice::connectors::aws
