#include "signing/settings.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace sluice::signing {
namespace {

using nlohmann::json;

const std::string kSymmetric = "whsec_" + base64(std::string(32, 'k'));
const std::string kSeed(32, 's');

std::string fault(const json& signing) {
  const Result<Settings> settings = read_settings(signing);
  if (settings.has_value()) return "accepted";
  EXPECT_EQ(settings.error().code, ErrorCode::InvalidArgument);
  return settings.error().message;
}

std::string key_fault(const std::string& secret) {
  const Result<WebhookKey> key = read_webhook_key(secret);
  return key.has_value() ? "accepted" : key.error().message;
}

TEST(SigningSettings, AreANameOrAListOfThem) {
  EXPECT_TRUE(read_settings(json())->schemes.empty());
  EXPECT_TRUE(read_settings({{"scheme", "none"}})->schemes.empty());
  EXPECT_TRUE(read_settings({{"scheme", {"none"}}})->schemes.empty());
  const Result<Settings> one = read_settings({{"scheme", "dt"}, {"secret", "any text"}});
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->schemes, std::vector{Scheme::Dt});
  const Result<Settings> all = read_settings(
      {{"scheme", {"dt-asymmetric", "dt", "standard-webhooks"}}, {"secret", kSymmetric}});
  ASSERT_TRUE(all.has_value()) << all.error().message;
  EXPECT_EQ(all->schemes,
            (std::vector{Scheme::DtAsymmetric, Scheme::Dt, Scheme::StandardWebhooks}));
}

TEST(SigningSettings, NameWhatIsWrong) {
  const std::string kUnknown =
      "destination.signing.scheme: must be standard-webhooks, dt, dt-asymmetric, or a list of "
      "them, or none";
  EXPECT_EQ(fault({{"secret", kSymmetric}}), "destination.signing.scheme: is required");
  for (const json& scheme : {json("md5"), json(7), json::array(), json(nullptr), json{"dt", 7}}) {
    EXPECT_EQ(fault({{"scheme", scheme}, {"secret", kSymmetric}}), kUnknown) << scheme;
  }
  EXPECT_EQ(fault({{"scheme", {"dt", "none"}}, {"secret", kSymmetric}}),
            "destination.signing.scheme: none stands alone");
  EXPECT_EQ(fault({{"scheme", {"dt", "dt"}}, {"secret", kSymmetric}}),
            "destination.signing.scheme: names a scheme twice");
}

TEST(SigningSettings, WantSecretsWhereASchemeHasAUseForThem) {
  for (const char* scheme : {"dt", "standard-webhooks"}) {
    EXPECT_EQ(fault({{"scheme", scheme}}), "destination.signing.secret: is required by the scheme");
  }
  EXPECT_EQ(fault({{"scheme", "dt-asymmetric"}}), "accepted");
  for (const char* scheme : {"none", "dt-asymmetric"}) {
    EXPECT_EQ(fault({{"scheme", scheme}, {"secret", kSymmetric}}),
              "destination.signing.secret: is of no use to the scheme: leave it out");
  }
  for (const json& secret : {json(7), json("")}) {
    EXPECT_EQ(fault({{"scheme", "dt"}, {"secret", secret}}),
              "destination.signing.secret: must be a string that is not empty");
  }
}

TEST(SigningSettings, HaveAPreviousSecretWithItsEnd) {
  json signing = {{"scheme", "standard-webhooks"},
                  {"secret", kSymmetric},
                  {"previous_secret", "whsk_" + base64(kSeed)},
                  {"previous_secret_until", 1000}};
  const Result<Settings> settings = read_settings(signing);
  ASSERT_TRUE(settings.has_value()) << settings.error().message;
  EXPECT_EQ(settings->previous_until, WallTime{1000});
  signing["previous_secret"] = "old";
  EXPECT_EQ(fault(signing),
            "destination.signing.previous_secret: must be whsec_ and base64 (HMAC), or whsk_ and "
            "base64 (ed25519)");
  signing.erase("previous_secret");
  EXPECT_EQ(fault(signing),
            "destination.signing.previous_secret_until: goes with a previous_secret, and with "
            "nothing else");
  EXPECT_NE(fault({{"scheme", "dt"},
                   {"secret", "a"},
                   {"previous_secret", "b"},
                   {"previous_secret_until", 1000}})
                .find("previous_secret: is of use to standard-webhooks alone"),
            std::string::npos);
}

TEST(WebhookKeys, AreReadByTheirPrefix) {
  const Result<WebhookKey> symmetric = read_webhook_key(kSymmetric);
  ASSERT_TRUE(symmetric.has_value());
  EXPECT_EQ(symmetric->kind, WebhookKey::Kind::Symmetric);
  EXPECT_EQ(symmetric->bytes, std::string(32, 'k'));
  // Without padding too.
  EXPECT_EQ(read_webhook_key(kSymmetric.substr(0, kSymmetric.size() - 1))->bytes,
            std::string(32, 'k'));
  EXPECT_EQ(read_webhook_key("whsk_" + base64(kSeed))->kind, WebhookKey::Kind::Ed25519);
  EXPECT_EQ(read_webhook_key("whsk_" + base64(kSeed))->bytes, kSeed);
}

TEST(WebhookKeys, TakeASeedWithItsPublicKeyAndNoOther) {
  // RFC 8032, 7.1, test 1.
  const std::string seed = *from_base64("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=");
  const std::string public_key = *from_base64("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
  EXPECT_EQ(read_webhook_key("whsk_" + base64(seed + public_key))->bytes, seed);
  EXPECT_EQ(key_fault("whsk_" + base64(kSeed + public_key)),
            "has a public key in it that is not the private one's");
}

TEST(WebhookKeys, OfAnotherShapeAreRefused) {
  const auto symmetric = [](std::size_t bytes) {
    return "whsec_" + base64(std::string(bytes, 'k'));
  };
  EXPECT_EQ(key_fault(symmetric(24)), "accepted");
  EXPECT_EQ(key_fault(symmetric(64)), "accepted");
  EXPECT_EQ(key_fault(symmetric(23)), "must stand for 24 to 64 bytes, not 23");
  EXPECT_EQ(key_fault(symmetric(65)), "must stand for 24 to 64 bytes, not 65");
  EXPECT_EQ(key_fault("whsec_not base64"), "has no base64 behind its prefix");
  EXPECT_NE(key_fault("whpk_" + base64(kSeed)).find("must be whsec_"), std::string::npos);
  EXPECT_NE(key_fault("whsk_" + base64(kSeed + "x")).find("32 bytes, or 64"), std::string::npos);
}

}  // namespace
}  // namespace sluice::signing
