#include "signing/verifier.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/base64.h"
#include "signing/ed25519.h"
#include "signing/settings.h"

namespace sluice::signing {
namespace {

using nlohmann::json;

bool same(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

// Cuts off and returns what stands before the separator, or all of `text`.
std::string_view next(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

Verification missing(std::string_view what) {
  return {Verdict::Missing, fmt::format("signature missing: {}", what)};
}
Verification wrong() {
  return {Verdict::Wrong, "signature wrong: another secret, or the body was changed"};
}
Verification valid() { return {Verdict::Valid, "signature valid"}; }

// Not an object unless the signer wrote one.
json part_of_token(std::string_view base64url_text) {
  const std::optional<std::string> text = from_base64url(base64url_text);
  return text ? json::parse(*text, nullptr, /*allow_exceptions=*/false) : json();
}

bool holds(const json& claims, const char* name, const std::string& expected) {
  const auto claim = claims.find(name);
  return claim != claims.end() && claim->is_string() &&
         same(claim->get_ref<const std::string&>(), expected);
}

std::optional<std::int64_t> seconds(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

Result<Verifier> Verifier::create(std::string_view secret) {
  if (secret.empty()) return Error{ErrorCode::InvalidArgument, "is empty"};
  if (secret.starts_with(kPublicPrefix)) {
    Result<std::string> key = read_webhook_public_key(secret);
    if (!key.has_value()) return key.error();
    return Verifier(Kind::Ed25519, *std::move(key));
  }
  if (!secret.starts_with(kSymmetricPrefix) && !secret.starts_with(kPrivatePrefix)) {
    return Verifier(Kind::Dt, std::string(secret));
  }
  Result<WebhookKey> key = read_webhook_key(secret);
  if (!key.has_value()) return key.error();
  if (key->kind == WebhookKey::Kind::Symmetric) {
    return Verifier(Kind::Symmetric, std::move(key->bytes));
  }
  return Verifier(Kind::Ed25519, ed25519_public_key(key->bytes));
}

Verification Verifier::verify(const Received& request, WallTime now) const {
  return kind_ == Kind::Dt ? verify_dt(request, now) : verify_webhook(request, now);
}

bool Verifier::is_signature(std::string_view base64_text, std::string_view head, Body body) const {
  if (kind_ == Kind::Symmetric) return same(base64_text, base64(hmac_sha256(key_, head, body)));
  const std::optional<std::string> signature = from_base64(base64_text);
  return signature && ed25519_verifies(key_, *signature, head, body);
}

Verification Verifier::verify_webhook(const Received& request, WallTime now) const {
  if (request.webhook_signature.empty()) return missing("no webhook-signature in the request");
  if (request.webhook_id.empty()) return missing("no webhook-id in the request");
  if (request.webhook_timestamp.empty()) return missing("no webhook-timestamp in the request");
  const std::string head = fmt::format("{}.{}.", request.webhook_id, request.webhook_timestamp);
  const std::string_view version = kind_ == Kind::Symmetric ? "v1" : "v1a";
  bool present = false;
  bool verified = false;
  for (std::string_view rest = request.webhook_signature; !rest.empty() && !verified;) {
    std::string_view signature = next(rest, ' ');
    if (next(signature, ',') != version) continue;
    present = true;
    verified = is_signature(signature, head, request.body);
  }
  if (!present) {
    return missing(
        fmt::format("no {} in webhook-signature: the stream has another kind of secret", version));
  }
  // Digits alone: so that no byte of the body can be taken for one of the time.
  const std::optional<std::int64_t> signed_at = seconds(request.webhook_timestamp);
  if (!verified || !signed_at) return wrong();
  const std::int64_t age = now.ms / 1000 - *signed_at;
  if (age > kToleranceSeconds || age < -kToleranceSeconds) {
    return {Verdict::OutOfTime,
            fmt::format("signature out of time: webhook-timestamp is {} s {} this clock",
                        age > 0 ? age : -age, age > 0 ? "behind" : "ahead of")};
  }
  return valid();
}

Verification Verifier::verify_dt(const Received& request, WallTime now) const {
  if (request.dt_signature.empty()) {
    return missing(
        "no X-Dt-Signature in the request (a secret of standard-webhooks begins with "
        "whsec_, whsk_ or whpk_)");
  }
  const std::size_t dot = request.dt_signature.rfind('.');
  if (dot == std::string_view::npos) return wrong();
  std::string_view text = request.dt_signature.substr(0, dot);
  // Nothing that the token says is read before this.
  if (!same(request.dt_signature.substr(dot + 1), base64url(hmac_sha256(key_, text, {})))) {
    return wrong();
  }
  const json header = part_of_token(next(text, '.'));
  const json claims = part_of_token(text);
  if (!holds(header, "alg", "HS256") ||
      !holds(claims, "checksum_sha256", hex_digest(Digest::Sha256, request.body)) ||
      !holds(claims, "checksum", hex_digest(Digest::Sha1, request.body))) {
    return wrong();
  }
  const auto expiry = claims.find("exp");
  if (expiry == claims.end() || !expiry->is_number_integer()) return wrong();
  if (expiry->get<std::int64_t>() <= now.ms / 1000) {
    return {Verdict::OutOfTime, "signature out of time: it has expired, by this clock"};
  }
  return valid();
}

}  // namespace sluice::signing
