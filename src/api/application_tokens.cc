#include "api/application_tokens.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <array>

#include "base/logging.h"
#include "catalog/places.h"

namespace sluice::api {
namespace {

constexpr std::size_t kKeyIdBytes = 10;  // 20 digits: enough never to come twice
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kLoadPage = 1000;

template <std::size_t kBytes>
std::string random_hex() {
  std::array<unsigned char, kBytes> random;
  SLUICE_ASSERT(RAND_priv_bytes(random.data(), static_cast<int>(random.size())) == 1);
  std::string text;
  for (const unsigned char byte : random) text += fmt::format("{:02x}", byte);
  return text;
}

std::string place_of(const catalog::ApplicationToken& token) {
  return catalog::application_token_place(token.organisation.value(), token.key_id);
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

std::string address_of(const catalog::ApplicationToken& token) {
  return fmt::format("{}@{}.serviceaccount.sluice", token.key_id, token.organisation.value());
}

Identity identity_of(const catalog::ApplicationToken& token) {
  return {token.key_id, token.organisation, token.role};
}

ApplicationTokens::ApplicationTokens(Dependencies dependencies, std::size_t per_organisation_max)
    : with_(dependencies),
      per_organisation_max_(per_organisation_max),
      count_(dependencies.metrics.gauge("sluice_api_application_tokens",
                                        "Application tokens that are not revoked.")) {}

Result<std::string> ApplicationTokens::open_secret(const catalog::ApplicationToken& token) const {
  return with_.secrets.open(token.secret, place_of(token));
}

Result<void> ApplicationTokens::load() {
  std::size_t unreadable = 0;
  ApplicationTokenId after{0};
  for (;;) {
    const auto page = with_.registry.application_tokens(std::nullopt, after, kLoadPage);
    if (!page) return page.error();
    for (const catalog::ApplicationToken& token : *page) {
      live_.add(token.key_id);
      if (!open_secret(token)) ++unreadable;
    }
    if (page->size() < kLoadPage) break;
    after = page->back().id;
  }
  count_.set(static_cast<double>(live_.size()));
  if (unreadable > 0) {
    logging::error(
        "application tokens whose secrets cannot be read: restore the secrets key that belongs "
        "to this catalog, or revoke them and make new ones",
        {{"count", unreadable}});
  }
  return {};
}

Result<MadeApplicationToken> ApplicationTokens::make(const NewApplicationToken& draft) {
  MadeApplicationToken made;
  made.secret = random_hex<kSecretBytes>();
  made.token.organisation = draft.organisation;
  made.token.name = draft.name;
  made.token.role = draft.role;
  made.token.key_id = random_hex<kKeyIdBytes>();
  made.token.secret = with_.secrets.seal(made.secret, place_of(made.token));
  Result<catalog::ApplicationToken> stored =
      with_.registry.create_application_token(made.token, per_organisation_max_, with_.clock.now());
  if (!stored) return stored.error();
  made.token = *std::move(stored);
  live_.add(made.token.key_id);
  count_.set(static_cast<double>(live_.size()));
  return made;
}

Result<catalog::ApplicationToken> ApplicationTokens::revoke(
    std::optional<OrganisationId> organisation, ApplicationTokenId id) {
  Result<catalog::ApplicationToken> deleted =
      with_.registry.delete_application_token(organisation, id);
  if (!deleted) return deleted.error();
  live_.revoke(deleted->key_id);
  count_.set(static_cast<double>(live_.size()));
  return deleted;
}

Result<catalog::ApplicationToken> ApplicationTokens::find(std::string_view key_id) const {
  const Result<std::optional<catalog::ApplicationToken>> found =
      with_.registry.application_token(key_id);
  if (!found) return found.error();
  if (*found) return **found;
  return Error{ErrorCode::NotFound, "the application token has been revoked"};
}

Result<catalog::ApplicationToken> ApplicationTokens::authenticate(
    std::string_view application_token) const {
  const Error wrong{ErrorCode::InvalidArgument, "the application token is wrong or revoked"};
  const std::size_t dot = application_token.find('.');
  if (dot != 2 * kKeyIdBytes) return wrong;
  Result<catalog::ApplicationToken> token = find(application_token.substr(0, dot));
  if (!token) return token.error().code == ErrorCode::NotFound ? wrong : token.error();
  const Result<std::string> secret = open_secret(*token);
  if (!secret) return secret.error();
  if (!equal_in_constant_time(*secret, application_token.substr(dot + 1))) return wrong;
  return token;
}

}  // namespace sluice::api
