#include "signing/signer.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace sluice::signing {
namespace {

using nlohmann::json;

// The expected values were computed with Python's hmac, hashlib and cryptography.
const std::string kSymmetric = "whsec_" + base64(std::string(32, 'k'));
const std::string kEd25519 = "whsk_" + base64(std::string(32, 's'));
constexpr std::string_view kV1 = "v1,4XwJwWEp3FzDq9uAZ2Oca5FBfiYP00mQMpS/A6UCPhc=";
constexpr std::string_view kV1a =
    "v1a,9irdK0Vxvb1SkBmYtU1N9Izyqedl56TkwtmrvUNMXqUYgPRbaw8c0M3sEVHk2nJK//"
    "sg65XECFhFIxnvcl5nAQ==";
constexpr WallTime kNow{1763800000'999};
// In parts, as bodies lie.
constexpr std::array<std::string_view, 5> kBody = {"[", R"({"id":1})", ",", R"({"id":2})", "]"};

Signer::Headers signed_with(const json& signing, const Issuer* issuer = nullptr,
                            WallTime now = kNow) {
  const Result<Settings> settings = read_settings(signing);
  EXPECT_TRUE(settings.has_value()) << settings.error().message;
  Signer::Headers headers;
  Signer(*settings, OrganisationId{399921}, issuer).sign({"7-1-100-104", now, kBody}, headers);
  return headers;
}

std::array<json, 2> parts_of(const std::string& token) {
  const std::size_t first = token.find('.');
  const std::size_t second = token.find('.', first + 1);
  return {json::parse(*from_base64url(token.substr(0, first))),
          json::parse(*from_base64url(token.substr(first + 1, second - first - 1)))};
}

TEST(Signer, AddsNothingWithoutAScheme) {
  EXPECT_TRUE(signed_with(json()).empty());
  EXPECT_TRUE(signed_with({{"scheme", "none"}}).empty());
}

TEST(Signer, SignsAsStandardWebhooks) {
  const auto headers = signed_with({{"scheme", "standard-webhooks"}, {"secret", kSymmetric}});
  ASSERT_EQ(headers.size(), 1u);
  EXPECT_EQ(headers[0].first, "webhook-signature");
  EXPECT_EQ(headers[0].second, kV1);
  EXPECT_EQ(signed_with({{"scheme", "standard-webhooks"}, {"secret", kEd25519}})[0].second, kV1a);
}

TEST(Signer, SignsWithThePreviousSecretUntilItsTime) {
  json signing = {{"scheme", "standard-webhooks"},
                  {"secret", kEd25519},
                  {"previous_secret", kSymmetric},
                  {"previous_secret_until", kNow.ms + 1}};
  EXPECT_EQ(signed_with(signing)[0].second, std::string(kV1a) + " " + std::string(kV1));
  signing["previous_secret_until"] = kNow.ms;
  EXPECT_EQ(signed_with(signing)[0].second, kV1a);
}

TEST(Signer, SignsAsDt) {
  const auto headers = signed_with({{"scheme", "dt"}, {"secret", "any text"}});
  ASSERT_EQ(headers.size(), 1u);
  EXPECT_EQ(headers[0].first, "X-Dt-Signature");
  const std::string& token = headers[0].second;
  const auto [header, claims] = parts_of(token);
  EXPECT_EQ(header, (json{{"alg", "HS256"}, {"typ", "JWT"}}));
  EXPECT_EQ(claims.size(), 5u);
  EXPECT_EQ(claims.at("checksum"), "c71536d2b041f33b1931b255a88393cbacf73fa0");
  EXPECT_EQ(claims.at("checksum_sha256"),
            "7dcee6a0c50483d0fb68d53b37822d55409a37928ffa228c6b9a482e3373e770");
  EXPECT_EQ(claims.at("iat"), 1763800000);
  EXPECT_EQ(claims.at("exp"), 1763803600);
  EXPECT_EQ(claims.at("jti").get<std::string>().size(), 20u);
  const std::size_t dot = token.rfind('.');
  EXPECT_EQ(token.substr(dot + 1), base64url(hmac_sha256("any text", token.substr(0, dot), {})));
  EXPECT_NE(
      parts_of(signed_with({{"scheme", "dt"}, {"secret", "any text"}})[0].second)[1].at("jti"),
      claims.at("jti"));
}

TEST(Signer, SignsAsDtAsymmetricWithTheServersKey) {
  Result<Issuer> issuer = Issuer::from_pem(Issuer::generate());
  issuer->set_public_url("https://sluice.example");
  const auto headers =
      signed_with({{"scheme", {"dt-asymmetric", "dt"}}, {"secret", "a"}}, &*issuer);
  ASSERT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers[0].first, "X-Dt-Signature");
  EXPECT_EQ(headers[1].first, "DT-Asymmetric-Signature");
  const auto [header, claims] = parts_of(headers[1].second);
  EXPECT_EQ(header.at("alg"), "ES256");
  EXPECT_EQ(header.at("kid"), issuer->key_id());
  EXPECT_EQ(claims.at("iss"), "https://sluice.example/data-connector");
  EXPECT_EQ(claims.at("sub"), "399921");
  EXPECT_EQ(claims.at("checksum_sha256"),
            "7dcee6a0c50483d0fb68d53b37822d55409a37928ffa228c6b9a482e3373e770");
}

}  // namespace
}  // namespace sluice::signing
