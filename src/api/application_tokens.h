#pragma once
// Application tokens: what an organisation's programs log in with. `<key_id>.<secret>` as a whole,
// its parts for signing (compatibility.md).

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "api/live_tokens.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "catalog/registry.h"
#include "catalog/secret_box.h"
#include "model/identity.h"
#include "model/ids.h"

namespace sluice::api {

struct NewApplicationToken {
  OrganisationId organisation;
  std::string name;
  Role role = Role::Viewer;
};

// With the secret in clear: to be shown once and never logged.
struct MadeApplicationToken {
  catalog::ApplicationToken token;
  std::string secret;
};

// Threads: any. All but live() block; errors as catalog::Registry's besides those named.
class ApplicationTokens {
 public:
  struct Dependencies {  // all outlive it
    catalog::Registry& registry;
    const catalog::SecretBox& secrets;
    const Clock& clock;
    Metrics& metrics;
  };
  ApplicationTokens(Dependencies dependencies, std::size_t per_organisation_max);

  // Makes live() know those that exist. To be called once, before anything else. A secret that the
  // box cannot open is logged, not an error: the server is of use without it.
  Result<void> load();

  // ResourceExhausted: the organisation has as many as it may.
  Result<MadeApplicationToken> make(const NewApplicationToken& draft);
  // On return no JWT that was made from it counts. Nullopt: whoever's it is.
  Result<catalog::ApplicationToken> revoke(std::optional<OrganisationId> organisation,
                                           ApplicationTokenId id);
  // Whose `<key_id>.<secret>` it is; InvalidArgument: nobody's. Corruption: the secrets key is not
  // the one that its secret was sealed with.
  Result<catalog::ApplicationToken> authenticate(std::string_view application_token) const;
  // NotFound: revoked.
  Result<catalog::ApplicationToken> find(std::string_view key_id) const;

  const LiveTokens& live() const { return live_; }

 private:
  Result<std::string> open_secret(const catalog::ApplicationToken& token) const;

  const Dependencies with_;
  const std::size_t per_organisation_max_;
  LiveTokens live_;
  Gauge count_;
};

// The account that a token stands for, as `iss` of what it signs.
std::string address_of(const catalog::ApplicationToken& token);

// Who speaks with a JWT made from it.
Identity identity_of(const catalog::ApplicationToken& token);

}  // namespace sluice::api
