#pragma once
// A destination's `signing`, and which secrets each scheme takes.

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace sluice::signing {

enum class Scheme : std::uint8_t { StandardWebhooks, Dt, DtAsymmetric };
// By their numbers. "none", the other name of a scheme, stands for no scheme at all.
inline constexpr std::array<std::string_view, 3> kSchemeNames = {"standard-webhooks", "dt",
                                                                 "dt-asymmetric"};
inline constexpr std::string_view kNoScheme = "none";

struct Settings {
  std::vector<Scheme> schemes;  // each once
  std::string secret;           // "" where no scheme wants one
  std::string previous_secret;  // "" = none
  WallTime previous_until;      // it counts before this

  bool has(Scheme scheme) const;
};

// What a `scheme`, sound or not, has a use for.
struct Uses {
  bool secret = false;
  bool previous_secret = false;
};
Uses uses_of(const nlohmann::json& scheme);

// `signing` is {"scheme": a name or a list of them, "secret", "previous_secret",
// "previous_secret_until": milliseconds}, each at most once and nothing else; null: none.
// InvalidArgument: "destination.signing.<property>: ...", without the secret.
Result<Settings> read_settings(const nlohmann::json& signing);

// What keys of Standard Webhooks begin with; base64 stands behind it.
inline constexpr std::string_view kSymmetricPrefix = "whsec_";
inline constexpr std::string_view kPrivatePrefix = "whsk_";
inline constexpr std::string_view kPublicPrefix = "whpk_";

// A secret of Standard Webhooks: the key of an HMAC, or the seed of an ed25519 key.
struct WebhookKey {
  enum class Kind : std::uint8_t { Symmetric, Ed25519 };
  Kind kind;
  std::string bytes;
};
// InvalidArgument: what is wrong with `secret`, without it.
Result<WebhookKey> read_webhook_key(std::string_view secret);

// The receiver's half of an ed25519 key; `secret` begins with kPublicPrefix. InvalidArgument: what
// is wrong with it.
Result<std::string> read_webhook_public_key(std::string_view secret);

}  // namespace sluice::signing
