#pragma once
// Who else may sign tokens: the `[[issuers]]` of the settings and their public keys.

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/jws.h"
#include "base/result.h"
#include "model/identity.h"
#include "model/ids.h"

namespace sluice::api {

struct IssuerSettings {
  std::string iss;
  std::string key_file;                       // a public key as PEM; this or
  std::string jwks_file;                      // a JWK Set (RFC 7517)
  Role role_max = Role::Admin;                // a token that claims more is refused
  std::vector<OrganisationId> organisations;  // whose tokens it may sign; empty: everyone's
  std::string audience;                       // what `aud` must name; "": not looked at
};

class Issuer {
 public:
  // Reads the key file. InvalidArgument names the issuer and the file.
  static Result<Issuer> load(const IssuerSettings& settings);

  const IssuerSettings& settings() const { return settings_; }

  // The key that a token's header names by `alg` and, in a JWK Set, `kid`. InvalidArgument: none.
  Result<PublicKey> key(const nlohmann::json& header) const;

 private:
  struct NamedKey {
    std::string id;  // "" = has none
    PublicKey key;
  };
  explicit Issuer(IssuerSettings settings) : settings_(std::move(settings)) {}
  Result<void> load_pem(std::string_view text);
  Result<void> load_jwks(std::string_view text);

  IssuerSettings settings_;
  std::vector<NamedKey> keys_;
};

// InvalidArgument: what makes no sense in the settings, or a key file that cannot be used.
Result<std::vector<Issuer>> load_issuers(std::span<const IssuerSettings> settings);

}  // namespace sluice::api
