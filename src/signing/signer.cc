#include "signing/signer.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "base/base64.h"
#include "signing/ed25519.h"

namespace sluice::signing {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t kDtSeconds = 3600;  // from iat to exp

std::string webhook_signature(const WebhookKey& key, std::string_view head, Body body) {
  if (key.kind == WebhookKey::Kind::Symmetric) {
    return "v1," + base64(hmac_sha256(key.bytes, head, body));
  }
  return "v1a," + base64(ed25519_sign(key.bytes, head, body));
}

// 20 characters like the vendor's: 12 bytes, of which the first four are the time.
std::string new_token_id(std::int64_t seconds) {
  constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuv";
  std::array<unsigned char, 12> raw{};
  for (std::size_t i = 0; i < 4; ++i) {
    raw[i] = static_cast<unsigned char>(seconds >> (24 - 8 * i) & 0xff);
  }
  SLUICE_ASSERT(RAND_bytes(raw.data() + 4, 8) == 1);
  std::string id;
  std::uint32_t bits = 0;
  int held = 0;
  for (const unsigned char byte : raw) {
    bits = bits << 8 | byte;
    for (held += 8; held >= 5; held -= 5) id += kAlphabet[bits >> (held - 5) & 31];
  }
  id += kAlphabet[bits << (5 - held) & 31];
  return id;
}

std::optional<WebhookKey> key_of(const Settings& settings, const std::string& secret) {
  if (secret.empty() || !settings.has(Scheme::StandardWebhooks)) return std::nullopt;
  Result<WebhookKey> key = read_webhook_key(secret);
  SLUICE_ASSERT(key.has_value());
  return *std::move(key);
}

}  // namespace

Signer::Signer(const Settings& settings, OrganisationId organisation, const Issuer* issuer)
    : settings_(settings),
      subject_(std::to_string(organisation.value())),
      issuer_(issuer),
      key_(key_of(settings, settings.secret)),
      previous_key_(key_of(settings, settings.previous_secret)) {
  SLUICE_ASSERT(issuer_ != nullptr || !settings_.has(Scheme::DtAsymmetric));
}

void Signer::sign(const Attempt& attempt, Headers& headers) const {
  if (settings_.has(Scheme::StandardWebhooks)) {
    headers.emplace_back("webhook-signature", standard_webhooks(attempt));
  }
  const bool symmetric = settings_.has(Scheme::Dt);
  const bool asymmetric = settings_.has(Scheme::DtAsymmetric);
  if (!symmetric && !asymmetric) return;
  const std::string sha256 = hex_digest(Digest::Sha256, attempt.body);
  if (symmetric) headers.emplace_back("X-Dt-Signature", dt(attempt, sha256));
  if (asymmetric) {
    headers.emplace_back("DT-Asymmetric-Signature", dt_asymmetric(attempt, sha256));
  }
}

std::string Signer::standard_webhooks(const Attempt& attempt) const {
  const std::string head = fmt::format("{}.{}.", attempt.webhook_id, attempt.time.ms / 1000);
  std::string signatures = webhook_signature(*key_, head, attempt.body);
  if (previous_key_ && attempt.time < settings_.previous_until) {
    signatures += " " + webhook_signature(*previous_key_, head, attempt.body);
  }
  return signatures;
}

std::string Signer::dt(const Attempt& attempt, const std::string& sha256) const {
  const std::int64_t now = attempt.time.ms / 1000;
  const ordered_json claims = {{"checksum", hex_digest(Digest::Sha1, attempt.body)},
                               {"checksum_sha256", sha256},
                               {"exp", now + kDtSeconds},
                               {"iat", now},
                               {"jti", new_token_id(now)}};
  const std::string text =
      base64url(R"({"alg":"HS256","typ":"JWT"})") + "." + base64url(claims.dump());
  return text + "." + base64url(hmac_sha256(settings_.secret, text, {}));
}

std::string Signer::dt_asymmetric(const Attempt& attempt, const std::string& sha256) const {
  const std::int64_t now = attempt.time.ms / 1000;
  return issuer_->sign({{"checksum_sha256", sha256},
                        {"exp", now + kDtSeconds},
                        {"iat", now},
                        {"iss", issuer_->url()},
                        {"jti", new_token_id(now)},
                        {"sub", subject_}});
}

}  // namespace sluice::signing
