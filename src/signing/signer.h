#pragma once
// The signatures of one stream's requests.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/ids.h"
#include "signing/body_digest.h"
#include "signing/issuer.h"
#include "signing/settings.h"

namespace sluice::signing {

// One attempt, as it goes over the wire: a body that is compressed is signed as it is then.
struct Attempt {
  std::string_view webhook_id;
  WallTime time;  // whose seconds are `webhook-timestamp`
  Body body;
};

// Threads: any.
class Signer {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  // `settings` are read_settings()'s. `issuer` outlives it and may only be null where the schemes
  // do without it.
  Signer(const Settings& settings, OrganisationId organisation, const Issuer* issuer);

  // Adds the headers of the schemes chosen.
  void sign(const Attempt& attempt, Headers& headers) const;

 private:
  std::string standard_webhooks(const Attempt& attempt) const;
  std::string dt(const Attempt& attempt, const std::string& sha256) const;
  std::string dt_asymmetric(const Attempt& attempt, const std::string& sha256) const;

  const Settings settings_;
  const std::string subject_;  // the organisation's id
  const Issuer* const issuer_;
  std::optional<WebhookKey> key_;
  std::optional<WebhookKey> previous_key_;
};

}  // namespace sluice::signing
