#pragma once
// How a stream shows its destination who it is, and whom it trusts: `destination.auth` and
// `destination.ca`.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "egress/http_client.h"

namespace sluice::connectors {

// A `type` of auth: its properties, in the words of a connector's schema.json (README.md).
struct AuthType {
  std::string_view name;
  std::string_view schema_json;
};
std::span<const AuthType> auth_types();
const AuthType* find_auth_type(std::string_view name);  // null: no such type

struct ClientCredentials {  // OAuth 2.0 (RFC 6749, 4.4)
  std::string token_url;
  std::string client_id;
  std::string client_secret;
  std::string scope;  // "" = none
};

struct AuthSettings {
  std::string authorization;  // what the header of that name says; "" = nothing that stands fast
  std::optional<ClientCredentials> oauth;
  egress::TlsOptions tls;
  std::vector<std::string> secrets;  // no message may show them
};

// Of a destination's `auth` and `ca`, each of which may be missing. `auth` has passed its type's
// schema. InvalidArgument: "destination.auth.<property>: ..." or "destination.ca: ...", without
// secrets.
Result<AuthSettings> read_auth(const nlohmann::json& destination);

}  // namespace sluice::connectors
