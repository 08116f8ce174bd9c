#include "api/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/json_text.h"
#include "catalog/catalog.h"

namespace sluice::api {
namespace {

using nlohmann::json;

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<signed char, 256> make_values() {
  std::array<signed char, 256> values{};
  for (signed char& value : values) value = -1;
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<signed char>(i);
  }
  return values;
}
constexpr std::array<signed char, 256> kValues = make_values();

std::string base64url(std::string_view bytes) {
  std::string text;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char byte : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(byte);
    for (held += 8; held >= 6; held -= 6) text += kAlphabet[bits >> (held - 6) & 63];
  }
  if (held > 0) text += kAlphabet[bits << (6 - held) & 63];
  return text;
}

// Strict: no padding, no other character, no bits left over, so each value has one spelling.
std::optional<std::string> from_base64url(std::string_view text) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char digit : text) {
    const int value = kValues[static_cast<unsigned char>(digit)];
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 0xff);
  }
  if ((bits & ((1u << held) - 1)) != 0) return std::nullopt;
  return bytes;
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

struct Parts {
  std::string_view header;
  std::string_view claims;
  std::string_view signature;
  std::string_view signed_text;  // header.claims
};

std::optional<Parts> split(std::string_view token) {
  const std::size_t first = token.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = token.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  return Parts{token.substr(0, first), token.substr(first + 1, second - first - 1),
               token.substr(second + 1), token.substr(0, second)};
}

Result<json> parse_part(std::string_view encoded, const char* name) {
  const std::optional<std::string> text = from_base64url(encoded);
  if (!text) return refused(std::string("the token's ") + name + " is not base64url");
  Result<json> value = parse_json(*text, DuplicateKeys::Refused);
  if (!value || !value->is_object()) {
    return refused(std::string("the token's ") + name + " is not a JSON object");
  }
  return value;
}

Result<void> check_header(const json& header) {
  const auto algorithm = header.find("alg");
  if (algorithm == header.end() || *algorithm != "HS256") {
    return refused("the token is not signed with HS256");
  }
  // A key that comes with the token proves nothing; an unknown `crit` must be refused (RFC 7515).
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

struct Verified {
  Identity identity;
  std::int64_t expires_ms;
};

Result<Verified> verify_now(const TokenKey& key, std::string_view token, WallTime now) {
  const std::optional<Parts> parts = split(token);
  if (!parts) return refused("the token is not a JWT");
  // The signature first: what it does not cover is not looked at.
  const std::optional<std::string> signature = from_base64url(parts->signature);
  const std::string expected = hmac_sha256(key, parts->signed_text);
  if (!signature || signature->size() != expected.size() ||
      CRYPTO_memcmp(signature->data(), expected.data(), expected.size()) != 0) {
    return refused("the token's signature is wrong");
  }
  const Result<json> header = parse_part(parts->header, "header");
  if (!header) return header.error();
  const Result<void> accepted = check_header(*header);
  if (!accepted) return accepted.error();
  const Result<json> claims = parse_part(parts->claims, "claims");
  if (!claims) return claims.error();
  const auto expires = claims->find("exp");
  const std::optional<std::int64_t> expires_ms =
      expires == claims->end() ? std::nullopt : date_ms(*expires);
  if (!expires_ms) return refused("the token has no exp");
  if (*expires_ms <= now.ms) return refused("the token has expired");
  if (const auto from = claims->find("nbf"); from != claims->end()) {
    const std::optional<std::int64_t> from_ms = date_ms(*from);
    if (!from_ms || *from_ms > now.ms) return refused("the token is not valid yet");
  }
  const Result<Identity> identity = identity_of(*claims);
  if (!identity) return identity.error();
  return Verified{*identity, *expires_ms};
}

}  // namespace

std::string sign_token(const TokenKey& key, const Identity& identity, WallTime now,
                       WallTime expires) {
  nlohmann::ordered_json claims = {{"sub", identity.subject}};
  if (identity.organisation) claims["org"] = identity.organisation->value();
  claims["role"] = role_name(identity.role);
  claims["iat"] = now.ms / 1000;
  claims["exp"] = expires.ms / 1000;
  const std::string text =
      base64url(R"({"alg":"HS256","typ":"JWT"})") + "." + base64url(to_text(claims));
  return text + "." + base64url(hmac_sha256(key, text));
}

std::size_t TokenVerifier::DigestHash::operator()(const Digest& digest) const noexcept {
  std::size_t hash = 0;
  std::memcpy(&hash, digest.data(), sizeof hash);
  return hash;
}

Result<Identity> TokenVerifier::verify(std::string_view token) {
  if (token.size() > kTokenBytesMax) return refused("the token is too long");
  // The digest, not the token, is looked up: how long that takes tells nothing about tokens.
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  Shard& shard = shards_[digest.back() % shards_.size()];
  const WallTime now = clock_.now();
  const SteadyTime steady = clock_.steady();
  {
    const MutexLock lock(shard.mutex);
    const auto found = shard.tokens.find(digest);
    if (found != shard.tokens.end()) {
      if (steady < found->second.until && now.ms < found->second.expires_ms) {
        return found->second.identity;
      }
      shard.tokens.erase(found);
    }
  }
  const Result<Verified> verified = verify_now(key_, token, now);
  if (!verified) return verified.error();
  const MutexLock lock(shard.mutex);
  if (shard.tokens.size() >= kRememberedPerShard) shard.tokens.clear();
  shard.tokens.insert_or_assign(
      digest, Remembered{verified->identity, steady + std::chrono::milliseconds(kRememberedMs),
                         verified->expires_ms});
  return verified->identity;
}

}  // namespace sluice::api
