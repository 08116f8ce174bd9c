#include "api/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/json_text.h"
#include "catalog/catalog.h"

namespace sluice::api {
namespace {

using nlohmann::json;

constexpr std::string_view kApplicationToken = "application_token";  // our claim: its key id
constexpr std::string_view kRefresh = "refresh";                     // a refresh token's `use`
constexpr std::string_view kRevokedMessage =
    "the application token that this token was made from has been revoked";

using Sha256 = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

// Of a token. A call asks for its own twice, and the next call mostly brings the same one: each
// thread remembers its last, since OpenSSL's way to the hash takes longer than the hash itself.
Sha256 digest_of(std::string_view token) {
  struct Last {
    std::string token;
    Sha256 digest{};
  };
  thread_local Last last;
  const bool same = !token.empty() && last.token.size() == token.size() &&
                    CRYPTO_memcmp(last.token.data(), token.data(), token.size()) == 0;
  if (!same) {
    last.token = token;
    SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), last.digest.data());
  }
  return last.digest;
}

std::string hmac_sha256(const TokenKey& key, std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> mac{};
  unsigned int size = 0;
  const unsigned char* done =
      HMAC(EVP_sha256(), key.bytes.data(), static_cast<int>(key.bytes.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &size);
  SLUICE_ASSERT(done != nullptr && size == mac.size());
  return {reinterpret_cast<const char*>(mac.data()), mac.size()};
}

Error refused(std::string message) { return {ErrorCode::InvalidArgument, std::move(message)}; }

Result<json> parse_part(std::string_view encoded, const char* name) {
  const std::optional<std::string> text = from_base64url(encoded);
  if (!text) return refused(std::string("the token's ") + name + " is not base64url");
  Result<json> value = parse_json(*text, DuplicateKeys::Refused);
  if (!value || !value->is_object()) {
    return refused(std::string("the token's ") + name + " is not a JSON object");
  }
  return value;
}

// A key that comes with the token proves nothing; an unknown `crit` must be refused (RFC 7515).
Result<void> check_header(const json& header) {
  for (const char* name : {"jwk", "jku", "x5c", "x5u", "crit"}) {
    if (header.contains(name)) {
      return refused(std::string("the token's header has ") + name + ", which is not accepted");
    }
  }
  return {};
}

// A NumericDate in milliseconds. Nullopt: not a number, or absurd.
std::optional<std::int64_t> date_ms(const json& value) {
  if (!value.is_number()) return std::nullopt;
  const double seconds = value.get<double>();
  if (!(std::abs(seconds) < 1e12)) return std::nullopt;
  return static_cast<std::int64_t>(seconds * 1000);
}

Result<Identity> identity_of(const json& claims) {
  Identity identity;
  if (const auto subject = claims.find("sub"); subject != claims.end()) {
    if (!subject->is_string()) return refused("the token's sub is not a string");
    identity.subject = subject->get<std::string>();
  }
  const auto role = claims.find("role");
  const std::optional<Role> known = role != claims.end() && role->is_string()
                                        ? role_from_name(role->get_ref<const std::string&>())
                                        : std::nullopt;
  if (!known) {
    return refused("the token's role is not one of operator, admin, developer, viewer, ingest");
  }
  identity.role = *known;
  if (const auto organisation = claims.find("org"); organisation != claims.end()) {
    if (!organisation->is_number_unsigned() ||
        organisation->get<std::uint64_t>() > catalog::kIdMax) {
      return refused("the token's org is not an organisation id");
    }
    identity.organisation = OrganisationId{organisation->get<std::uint64_t>()};
  } else if (*known != Role::Operator && *known != Role::Ingest) {
    return refused("the token names no organisation (org)");
  }
  return identity;
}

// Whether `aud`, a string or a list of them, names `audience`.
bool is_meant_for(const json& claims, const std::string& audience) {
  const auto found = claims.find("aud");
  if (found == claims.end()) return false;
  return found->is_array() ? std::find(found->begin(), found->end(), audience) != found->end()
                           : *found == audience;
}

// What an issuer's tokens may say is less than what ours may.
Result<void> check_bounds(const IssuerSettings& issuer, const json& claims,
                          const Identity& identity) {
  if (!issuer.audience.empty() && !is_meant_for(claims, issuer.audience)) {
    return refused("the token's aud does not name this server");
  }
  if (!covers(issuer.role_max, identity.role)) {
    return refused("the token's role is above what its issuer may give (max_role)");
  }
  const auto& allowed = issuer.organisations;
  if (!allowed.empty() && (!identity.organisation ||
                           std::ranges::find(allowed, *identity.organisation) == allowed.end())) {
    return refused("the token's issuer does not speak for its organisation");
  }
  return {};
}

Result<void> check_times(const json& claims, WallTime now, WallTime expires) {
  if (expires <= now) return refused("the token has expired");
  if (const auto from = claims.find("nbf"); from != claims.end()) {
    const std::optional<std::int64_t> from_ms = date_ms(*from);
    if (!from_ms || *from_ms > now.ms) return refused("the token is not valid yet");
  }
  return {};
}

std::string sign_claims(const TokenKey& key, nlohmann::ordered_json claims, WallTime now,
                        WallTime expires) {
  claims["iat"] = now.ms / 1000;
  claims["exp"] = expires.ms / 1000;
  const std::string text =
      base64url(R"({"alg":"HS256","typ":"JWT"})") + "." + base64url(to_text(claims));
  return text + "." + base64url(hmac_sha256(key, text));
}

nlohmann::ordered_json claims_of(const Identity& identity) {
  nlohmann::ordered_json claims = {{"sub", identity.subject}};
  if (identity.organisation) claims["org"] = identity.organisation->value();
  claims["role"] = role_name(identity.role);
  return claims;
}

}  // namespace

Result<TokenKey> load_or_create_token_key(const std::string& path) {
  const Result<KeyBytes> key = load_or_create_key(path, "token key", "all tokens end then");
  if (!key) return key.error();
  return TokenKey{*key};
}

std::string sign_token(const TokenKey& key, const Identity& identity, WallTime now,
                       WallTime expires) {
  return sign_claims(key, claims_of(identity), now, expires);
}

TokenPair sign_token_pair(const TokenKey& key, const Identity& identity, WallTime now) {
  nlohmann::ordered_json claims = claims_of(identity);
  claims[kApplicationToken] = identity.subject;
  const nlohmann::ordered_json refresh = {{"sub", identity.subject}, {"use", kRefresh}};
  return {sign_claims(key, std::move(claims), now, {now.ms + TokenPair::kAuthMs}),
          sign_claims(key, refresh, now, {now.ms + TokenPair::kRefreshMs})};
}

struct TokenVerifier::Checked {
  json claims;
  std::shared_ptr<const Issuer> issuer;  // null: signed by ourselves
  std::int64_t expires_ms;
};

std::size_t TokenVerifier::DigestHash::operator()(const Digest& digest) const noexcept {
  std::size_t hash = 0;
  std::memcpy(&hash, digest.data(), sizeof hash);
  return hash;
}

TokenVerifier::TokenVerifier(const TokenKey& key, std::vector<Issuer> issuers, const Clock& clock,
                             const LiveTokens& live)
    : key_(key), clock_(clock), live_(live) {
  set_issuers(std::move(issuers));
}

void TokenVerifier::set_issuers(std::vector<Issuer> issuers) {
  {
    const MutexLock lock(issuers_mutex_);
    issuers_ = std::make_shared<const std::vector<Issuer>>(std::move(issuers));
  }
  // What is being verified meanwhile may still be remembered, for kRememberedMs at most.
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    shard.tokens.clear();
  }
}

// The issuer that signed it; null: we did.
Result<std::shared_ptr<const Issuer>> TokenVerifier::check_signature(const JwsParts& parts,
                                                                     const json& header,
                                                                     const json& claims) const {
  const Result<void> accepted = check_header(header);
  if (!accepted) return accepted.error();
  const std::optional<std::string> signature = from_base64url(parts.signature);
  const Error wrong = refused("the token's signature is wrong");
  if (!signature) return wrong;
  const auto iss = claims.find("iss");
  if (iss == claims.end()) {
    const auto algorithm = header.find("alg");
    if (algorithm == header.end() || *algorithm != "HS256") {
      return refused("the token is not signed with HS256, and has no iss of another issuer");
    }
    const std::string expected = hmac_sha256(key_, parts.signed_text);
    if (signature->size() != expected.size() ||
        CRYPTO_memcmp(signature->data(), expected.data(), expected.size()) != 0) {
      return wrong;
    }
    return std::shared_ptr<const Issuer>();
  }
  std::shared_ptr<const std::vector<Issuer>> issuers;
  {
    const MutexLock lock(issuers_mutex_);
    issuers = issuers_;
  }
  const auto issuer = std::ranges::find_if(
      *issuers, [&iss](const Issuer& one) { return *iss == one.settings().iss; });
  if (issuer == issuers->end()) return refused("the token's iss is nobody who is known here");
  const Result<PublicKey> key = issuer->key(header);
  if (!key) return key.error();
  if (!key->verify(parts.signed_text, *signature)) return wrong;
  return std::shared_ptr<const Issuer>(issuers, &*issuer);
}

Result<TokenVerifier::Checked> TokenVerifier::check(std::string_view token, WallTime now) const {
  const std::optional<JwsParts> parts = split_jws(token);
  if (!parts) return refused("the token is not a JWT");
  const Result<json> header = parse_part(parts->header, "header");
  if (!header) return header.error();
  Result<json> claims = parse_part(parts->claims, "claims");
  if (!claims) return claims.error();
  const Result<std::shared_ptr<const Issuer>> issuer = check_signature(*parts, *header, *claims);
  if (!issuer) return issuer.error();
  const auto expires = claims->find("exp");
  if (expires == claims->end()) return refused("the token has no exp");
  const std::optional<std::int64_t> expires_ms = date_ms(*expires);
  if (!expires_ms) {
    return refused("the token's exp is no date in seconds since 1970 (are these milliseconds?)");
  }
  const Result<void> in_time = check_times(*claims, now, {*expires_ms});
  if (!in_time) return in_time.error();
  return Checked{*std::move(claims), *issuer, *expires_ms};
}

Result<TokenVerifier::Remembered> TokenVerifier::verify_now(std::string_view token,
                                                            WallTime now) const {
  const Result<Checked> checked = check(token, now);
  if (!checked) return checked.error();
  const json& claims = checked->claims;
  if (checked->issuer == nullptr && claims.contains("use")) {
    return refused("a refresh token is good for POST /api/v1/authenticate alone");
  }
  const Result<Identity> identity = identity_of(claims);
  if (!identity) return identity.error();
  Remembered verified{.identity = *identity, .expires_ms = checked->expires_ms};
  if (checked->issuer != nullptr) {
    const Result<void> bounds = check_bounds(checked->issuer->settings(), claims, *identity);
    if (!bounds) return bounds.error();
  } else if (const auto from = claims.find(kApplicationToken); from != claims.end()) {
    if (from->is_string()) verified.revoked = live_.find(from->get_ref<const std::string&>());
    if (verified.revoked == nullptr) return refused(std::string(kRevokedMessage));
  }
  return verified;
}

Result<Identity> TokenVerifier::verify(std::string_view token) {
  if (token.size() > kTokenBytesMax) return refused("the token is too long");
  // The digest, not the token, is looked up: how long that takes tells nothing about tokens.
  const Digest digest = digest_of(token);
  Shard& shard = shards_[digest.back() % shards_.size()];
  const WallTime now = clock_.now();
  const SteadyTime steady = clock_.steady();
  {
    const MutexLock lock(shard.mutex);
    const auto found = shard.tokens.find(digest);
    if (found != shard.tokens.end()) {
      const Remembered& known = found->second;
      const bool revoked = known.revoked != nullptr && known.revoked->load();
      if (steady < known.until && now.ms < known.expires_ms && !revoked) return known.identity;
      shard.tokens.erase(found);
    }
  }
  Result<Remembered> verified = verify_now(token, now);
  if (!verified) return verified.error();
  verified->until = steady + std::chrono::milliseconds(kRememberedMs);
  const Identity identity = verified->identity;
  const MutexLock lock(shard.mutex);
  if (shard.tokens.size() >= kRememberedPerShard) shard.tokens.clear();
  shard.tokens.insert_or_assign(digest, *std::move(verified));
  return identity;
}

Result<std::string> TokenVerifier::verify_refresh(std::string_view token) const {
  if (token.size() > kTokenBytesMax) return refused("the refresh token is too long");
  const Result<Checked> checked = check(token, clock_.now());
  if (!checked) return checked.error();
  const auto use = checked->claims.find("use");
  const auto subject = checked->claims.find("sub");
  if (checked->issuer != nullptr || use == checked->claims.end() || *use != kRefresh ||
      subject == checked->claims.end() || !subject->is_string()) {
    return refused("this is a token, but no refresh token");
  }
  return subject->get<std::string>();
}

}  // namespace sluice::api
