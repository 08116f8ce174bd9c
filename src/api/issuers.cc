#include "api/issuers.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "api/json_text.h"

namespace sluice::api {
namespace {

using nlohmann::json;

constexpr std::size_t kKeyFileBytesMax = 1 << 20;

Error unfit(std::string message) { return {ErrorCode::InvalidArgument, std::move(message)}; }

Result<std::string> read_key_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kKeyFileBytesMax + 1, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(text.size())) && !file.eof()) {
    return unfit("cannot be read");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kKeyFileBytesMax) return unfit("larger than 1 MiB");
  return text;
}

std::string_view text_at(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return "";
  return found->get_ref<const std::string&>();
}

// "" when it is missing or no base64url.
std::string bytes_at(const json& object, const char* name) {
  return from_base64url(text_at(object, name)).value_or("");
}

Result<PublicKey> key_of(const json& jwk) {
  const std::string_view type = text_at(jwk, "kty");
  const std::string_view curve = text_at(jwk, "crv");
  if (type == "RSA") return PublicKey::from_rsa(bytes_at(jwk, "n"), bytes_at(jwk, "e"));
  if (type == "EC" && curve == "P-256") {
    return PublicKey::from_p256(bytes_at(jwk, "x"), bytes_at(jwk, "y"));
  }
  if (type == "OKP" && curve == "Ed25519") return PublicKey::from_ed25519(bytes_at(jwk, "x"));
  return unfit("not a kind of key that is known here");
}

// What its owner says of it allows checking signatures with that algorithm.
bool is_for_signatures(const json& jwk, std::string_view algorithm) {
  if (jwk.contains("use") && text_at(jwk, "use") != "sig") return false;
  if (jwk.contains("alg") && text_at(jwk, "alg") != algorithm) return false;
  const auto operations = jwk.find("key_ops");
  return operations == jwk.end() ||
         (operations->is_array() && std::ranges::find(*operations, "verify") != operations->end());
}

}  // namespace

Result<void> Issuer::load_pem(std::string_view text) {
  Result<PublicKey> key = PublicKey::from_pem(text);
  if (!key) return key.error();
  keys_.push_back({"", *std::move(key)});
  return {};
}

// Keys that it cannot use are left out (RFC 7517, 5).
Result<void> Issuer::load_jwks(std::string_view text) {
  const Result<json> set = parse_json(text, DuplicateKeys::Refused);
  if (!set) return set.error();
  const auto list = set->is_object() ? set->find("keys") : set->end();
  if (!set->is_object() || list == set->end() || !list->is_array()) {
    return unfit(R"(not a JWK Set: {"keys": [...]})");
  }
  for (const json& jwk : *list) {
    if (!jwk.is_object()) continue;
    Result<PublicKey> key = key_of(jwk);
    if (!key || !is_for_signatures(jwk, key->algorithm())) continue;
    const std::string id(text_at(jwk, "kid"));
    const bool twice = std::ranges::any_of(keys_, [&](const NamedKey& other) {
      return !id.empty() && other.id == id && other.key.algorithm() == key->algorithm();
    });
    if (twice) return unfit(fmt::format("two keys have the kid {:.100}", id));
    keys_.push_back({id, *std::move(key)});
  }
  if (keys_.empty()) return unfit("no key for RS256, ES256 or EdDSA in it");
  return {};
}

Result<Issuer> Issuer::load(const IssuerSettings& settings) {
  const bool pem = !settings.key_file.empty();
  const std::string& path = pem ? settings.key_file : settings.jwks_file;
  const Result<std::string> text = read_key_file(path);
  Issuer issuer(settings);
  const Result<void> loaded = !text ? text.error()
                              : pem ? issuer.load_pem(*text)
                                    : issuer.load_jwks(*text);
  if (loaded) return issuer;
  return unfit(fmt::format("issuer {}: {} {}: {}", settings.iss, pem ? "key_file" : "jwks_file",
                           path, loaded.error().message));
}

Result<PublicKey> Issuer::key(const json& header) const {
  const std::string_view algorithm = text_at(header, "alg");
  const auto id = header.find("kid");
  const bool named = settings_.key_file.empty() && id != header.end();
  const NamedKey* found = nullptr;
  for (const NamedKey& candidate : keys_) {
    if (candidate.key.algorithm() != algorithm) continue;
    if (named && (!id->is_string() || candidate.id.empty() || *id != candidate.id)) continue;
    if (found != nullptr) {
      return unfit("the token's issuer has several keys, and no kid says which is meant");
    }
    found = &candidate;
  }
  if (found != nullptr) return found->key;
  return unfit("the token's alg and kid fit no key of its issuer");
}

Result<std::vector<Issuer>> load_issuers(std::span<const IssuerSettings> settings) {
  std::vector<Issuer> issuers;
  for (const IssuerSettings& one : settings) {
    if (one.iss.empty()) return unfit("issuers: each needs its iss");
    const bool known = std::ranges::any_of(
        issuers, [&one](const Issuer& other) { return other.settings().iss == one.iss; });
    if (known) return unfit(fmt::format("issuer {}: it is there twice", one.iss));
    if (one.key_file.empty() == one.jwks_file.empty()) {
      return unfit(fmt::format("issuer {}: needs either key_file or jwks_file", one.iss));
    }
    if (one.role_max == Role::Operator && !one.organisations.empty()) {
      return unfit(
          fmt::format("issuer {}: an operator's tokens reach every organisation; leave "
                      "out organisations or lower max_role",
                      one.iss));
    }
    Result<Issuer> issuer = Issuer::load(one);
    if (!issuer) return issuer.error();
    issuers.push_back(*std::move(issuer));
  }
  return issuers;
}

}  // namespace sluice::api
