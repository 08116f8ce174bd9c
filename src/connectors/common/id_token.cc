#include "connectors/common/id_token.h"

#include <nlohmann/json.hpp>

#include "signing/issuer.h"

namespace sluice::connectors {
namespace {

// Exchanged at once; the rest is for clocks that differ.
constexpr std::int64_t kLifeSeconds = 300;

}  // namespace

Result<std::string> id_token(const signing::Issuer* issuer, OrganisationId organisation,
                             const std::string& audience, WallTime now) {
  if (issuer == nullptr || !issuer->url().starts_with("https://")) {
    return Error{ErrorCode::InvalidArgument,
                 "auth oidc needs a server whose keys others can read at an https address: its "
                 "operator must set server.public_url to one"};
  }
  const std::int64_t now_s = now.ms / 1000;
  return issuer->sign({{"aud", audience},
                       {"exp", now_s + kLifeSeconds},
                       {"iat", now_s},
                       {"iss", issuer->url()},
                       {"sub", std::to_string(organisation.value())}});
}

}  // namespace sluice::connectors
