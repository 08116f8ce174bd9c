#include "signing/issuer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::signing {
namespace {

// That others accept its tokens is shown in tests/e2e/test_signatures.py.

TEST(Issuer, IsTheSameForTheSameKey) {
  const std::string pem = Issuer::generate();
  Result<Issuer> issuer = Issuer::from_pem(pem);
  ASSERT_TRUE(issuer.has_value());
  EXPECT_EQ(issuer->key_id().size(), 43u);
  EXPECT_EQ(Issuer::from_pem(pem)->keys(), issuer->keys());
  EXPECT_NE(Issuer::from_pem(Issuer::generate())->key_id(), issuer->key_id());
}

TEST(Issuer, ShowsWhereItsKeysAreAndNothingPrivate) {
  Result<Issuer> issuer = Issuer::from_pem(Issuer::generate());
  issuer->set_public_url("https://sluice.example");
  EXPECT_EQ(issuer->discovery().at("issuer"), "https://sluice.example/data-connector");
  EXPECT_EQ(issuer->discovery().at("jwks_uri"),
            "https://sluice.example/data-connector/.well-known/jwks.json");
  const nlohmann::ordered_json key = issuer->keys().at("keys").at(0);
  EXPECT_EQ(key.at("kid"), issuer->key_id());
  EXPECT_FALSE(key.contains("d"));
}

TEST(Issuer, RefusesWhatIsNoKeyOfItsKind) {
  EXPECT_FALSE(Issuer::from_pem("").has_value());
  EXPECT_FALSE(Issuer::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
  // ed25519
  EXPECT_FALSE(Issuer::from_pem("-----BEGIN PRIVATE KEY-----\n"
                                "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                "-----END PRIVATE KEY-----\n")
                   .has_value());
}

}  // namespace
}  // namespace sluice::signing
