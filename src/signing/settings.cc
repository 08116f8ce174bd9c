#include "signing/settings.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/base64.h"

namespace sluice::signing {
namespace {

using nlohmann::json;

constexpr std::string_view kSymmetricPrefix = "whsec_";
constexpr std::string_view kEd25519Prefix = "whsk_";
constexpr std::size_t kSymmetricBytesMin = 24;  // the specification's bounds
constexpr std::size_t kSymmetricBytesMax = 64;
constexpr std::size_t kSeedBytes = 32;

Error invalid(std::string message) { return {ErrorCode::InvalidArgument, std::move(message)}; }

Error invalid(std::string_view property, std::string_view message) {
  return invalid(fmt::format("destination.signing.{}: {}", property, message));
}

std::optional<Scheme> scheme_from_name(const json& name) {
  const auto* const found = std::ranges::find(kSchemeNames, name);
  if (found == kSchemeNames.end()) return std::nullopt;
  return static_cast<Scheme>(found - kSchemeNames.begin());
}

Result<std::vector<Scheme>> read_schemes(const json& given) {
  const json list = given.is_array() ? given : json::array({given});
  const Error unknown = invalid(
      "scheme",
      fmt::format("must be {}, or a list of them", fmt::join(kSchemeNames, ", ")) + ", or none");
  if (list.empty()) return unknown;
  std::vector<Scheme> schemes;
  for (const json& name : list) {
    if (name == kNoScheme && list.size() == 1) return schemes;
    if (name == kNoScheme) return invalid("scheme", "none stands alone");
    const std::optional<Scheme> scheme = scheme_from_name(name);
    if (!scheme) return unknown;
    if (std::ranges::find(schemes, *scheme) != schemes.end()) {
      return invalid("scheme", "names a scheme twice");
    }
    schemes.push_back(*scheme);
  }
  return schemes;
}

// Some generators leave the padding out.
std::optional<std::string> from_base64_padded_or_not(std::string_view text) {
  std::string padded(text);
  if (!text.ends_with('=')) padded.append((4 - text.size() % 4) % 4, '=');
  return from_base64(padded);
}

// What libsodium and Go call a private key is the seed and the public key behind it.
bool is_pair(std::string_view bytes) {
  const auto* seed = reinterpret_cast<const unsigned char*>(bytes.data());
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed, kSeedBytes), &EVP_PKEY_free);
  std::string derived(kSeedBytes, '\0');
  std::size_t size = derived.size();
  return key != nullptr &&
         EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(derived.data()),
                                     &size) == 1 &&
         bytes.substr(kSeedBytes) == derived;
}

Result<std::string> read_text(const json& signing, const char* name) {
  const auto found = signing.find(name);
  if (found == signing.end()) return std::string();
  if (!found->is_string() || found->get_ref<const std::string&>().empty()) {
    return invalid(name, "must be a string that is not empty");
  }
  return found->get<std::string>();
}

Result<void> check_secret(const Settings& settings, const char* name, const std::string& secret) {
  if (!settings.has(Scheme::StandardWebhooks)) return {};
  const Result<WebhookKey> key = read_webhook_key(secret);
  if (key.has_value()) return {};
  return invalid(name, key.error().message);
}

Result<void> check_secrets(const Settings& settings, Uses uses) {
  if (settings.secret.empty() && uses.secret) return invalid("secret", "is required by the scheme");
  if (!settings.secret.empty() && !uses.secret) {
    return invalid("secret", "is of no use to the scheme: leave it out");
  }
  if (settings.previous_secret.empty()) return {};
  if (!uses.previous_secret) {
    return invalid("previous_secret",
                   "is of use to standard-webhooks alone: the other schemes' headers hold one "
                   "signature");
  }
  return check_secret(settings, "previous_secret", settings.previous_secret);
}

}  // namespace

bool Settings::has(Scheme scheme) const {
  return std::ranges::find(schemes, scheme) != schemes.end();
}

Result<WebhookKey> read_webhook_key(std::string_view secret) {
  const bool symmetric = secret.starts_with(kSymmetricPrefix);
  if (!symmetric && !secret.starts_with(kEd25519Prefix)) {
    return invalid("must be whsec_ and base64 (HMAC), or whsk_ and base64 (ed25519)");
  }
  const std::string_view text =
      secret.substr(symmetric ? kSymmetricPrefix.size() : kEd25519Prefix.size());
  std::optional<std::string> bytes = from_base64_padded_or_not(text);
  if (!bytes) return invalid("has no base64 behind its prefix");
  if (symmetric) {
    if (bytes->size() < kSymmetricBytesMin || bytes->size() > kSymmetricBytesMax) {
      return invalid(fmt::format("must stand for {} to {} bytes, not {}", kSymmetricBytesMin,
                                 kSymmetricBytesMax, bytes->size()));
    }
    return WebhookKey{WebhookKey::Kind::Symmetric, *std::move(bytes)};
  }
  if (bytes->size() == 2 * kSeedBytes && !is_pair(*bytes)) {
    return invalid("has a public key in it that is not the private one's");
  }
  if (bytes->size() != kSeedBytes && bytes->size() != 2 * kSeedBytes) {
    return invalid(fmt::format("must stand for an ed25519 key: {} bytes, or {} with the public key",
                               kSeedBytes, 2 * kSeedBytes));
  }
  bytes->resize(kSeedBytes);
  return WebhookKey{WebhookKey::Kind::Ed25519, *std::move(bytes)};
}

Uses uses_of(const json& scheme) {
  const auto names = [&scheme](Scheme one) {
    const std::string_view name = kSchemeNames[static_cast<std::size_t>(one)];
    return scheme == name || (scheme.is_array() && std::ranges::find(scheme, name) != scheme.end());
  };
  const bool webhooks = names(Scheme::StandardWebhooks);
  return {.secret = webhooks || names(Scheme::Dt), .previous_secret = webhooks};
}

Result<Settings> read_settings(const json& signing) {
  if (signing.is_null()) return Settings{};
  const auto scheme = signing.find("scheme");
  if (scheme == signing.end()) return invalid("scheme", "is required");
  Result<std::vector<Scheme>> schemes = read_schemes(*scheme);
  if (!schemes.has_value()) return schemes.error();
  Result<std::string> secret = read_text(signing, "secret");
  if (!secret.has_value()) return secret.error();
  Result<std::string> previous = read_text(signing, "previous_secret");
  if (!previous.has_value()) return previous.error();
  Settings settings{*std::move(schemes), *std::move(secret), *std::move(previous), {}};
  const auto until = signing.find("previous_secret_until");
  if (settings.previous_secret.empty() != (until == signing.end())) {
    return invalid("previous_secret_until", "goes with a previous_secret, and with nothing else");
  }
  if (until != signing.end()) settings.previous_until = WallTime{until->get<std::int64_t>()};
  if (!settings.secret.empty()) {
    Result<void> fits = check_secret(settings, "secret", settings.secret);
    if (!fits.has_value()) return fits.error();
  }
  Result<void> fit = check_secrets(settings, uses_of(*scheme));
  if (!fit.has_value()) return fit.error();
  return settings;
}

}  // namespace sluice::signing
