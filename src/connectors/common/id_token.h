#pragma once
// OIDC: this server's word for an organisation, for clouds that trust it as an issuer. They read
// its keys from the discovery document under server.public_url.

#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "model/ids.h"

namespace sluice::signing {
class Issuer;
}

namespace sluice::connectors {

// Of five minutes, `sub` is the organisation's id. `issuer` may be null: as one without an address.
// InvalidArgument: no cloud can reach the issuer, for its address is not https.
Result<std::string> id_token(const signing::Issuer* issuer, OrganisationId organisation,
                             const std::string& audience, WallTime now);

}  // namespace sluice::connectors
