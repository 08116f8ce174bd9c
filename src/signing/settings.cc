#include "signing/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/assert.h"
#include "base/base64.h"
#include "signing/ed25519.h"

namespace sluice::signing {
namespace {

using nlohmann::json;

constexpr std::size_t kSymmetricBytesMin = 24;  // the specification's bounds
constexpr std::size_t kSymmetricBytesMax = 64;

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
  return bytes.substr(kEd25519KeyBytes) == ed25519_public_key(bytes.substr(0, kEd25519KeyBytes));
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
  if (!symmetric && !secret.starts_with(kPrivatePrefix)) {
    return invalid("must be whsec_ and base64 (HMAC), or whsk_ and base64 (ed25519)");
  }
  const std::string_view text =
      secret.substr(symmetric ? kSymmetricPrefix.size() : kPrivatePrefix.size());
  std::optional<std::string> bytes = from_base64_padded_or_not(text);
  if (!bytes) return invalid("has no base64 behind its prefix");
  if (symmetric) {
    if (bytes->size() < kSymmetricBytesMin || bytes->size() > kSymmetricBytesMax) {
      return invalid(fmt::format("must stand for {} to {} bytes, not {}", kSymmetricBytesMin,
                                 kSymmetricBytesMax, bytes->size()));
    }
    return WebhookKey{WebhookKey::Kind::Symmetric, *std::move(bytes)};
  }
  if (bytes->size() == 2 * kEd25519KeyBytes && !is_pair(*bytes)) {
    return invalid("has a public key in it that is not the private one's");
  }
  if (bytes->size() != kEd25519KeyBytes && bytes->size() != 2 * kEd25519KeyBytes) {
    return invalid(fmt::format("must stand for an ed25519 key: {} bytes, or {} with the public key",
                               kEd25519KeyBytes, 2 * kEd25519KeyBytes));
  }
  bytes->resize(kEd25519KeyBytes);
  return WebhookKey{WebhookKey::Kind::Ed25519, *std::move(bytes)};
}

Result<std::string> read_webhook_public_key(std::string_view secret) {
  SLUICE_ASSERT(secret.starts_with(kPublicPrefix));
  std::optional<std::string> bytes = from_base64_padded_or_not(secret.substr(kPublicPrefix.size()));
  if (!bytes) return invalid("has no base64 behind its prefix");
  if (bytes->size() != kEd25519KeyBytes) {
    return invalid(fmt::format("must stand for a public ed25519 key: {} bytes, not {}",
                               kEd25519KeyBytes, bytes->size()));
  }
  return *std::move(bytes);
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
