#pragma once
// A Pub/Sub destination's settings.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "signing/rs256.h"

namespace sluice::connectors::pubsub {

// https://developers.google.com/identity/protocols/oauth2/service-account#httprest
struct ServiceAccount {
  std::string email;
  std::string key_id;  // "" = the file names none
  std::string token_uri;
  signing::Rs256 key;
};

struct Config {
  std::string topic_url;                  // "https://.../v1/projects/p/topics/t"
  std::optional<ServiceAccount> account;  // none: requests carry no token
};

// `credentials` has passed the schema. InvalidArgument names the property, and no secret.
Result<Config> read_config(const nlohmann::json& credentials);

// What the token endpoint is sent.
std::string token_form(const ServiceAccount& account, WallTime now);

}  // namespace sluice::connectors::pubsub
