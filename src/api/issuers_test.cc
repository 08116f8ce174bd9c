// Other issuers' keys and tokens. Keys are made and tokens signed with OpenSSL, apart from the code
// under test.

#include "api/issuers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "api/token.h"

namespace sluice::api {
namespace {

using nlohmann::json;

struct KeyPair {
  explicit KeyPair(EVP_PKEY* made) : key(made) {}
  ~KeyPair() { EVP_PKEY_free(key); }
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;
  EVP_PKEY* key;
};

const KeyPair& rsa() {
  static const KeyPair pair(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}));
  return pair;
}
const KeyPair& p256() {
  static const KeyPair pair(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  return pair;
}
const KeyPair& ed25519() {
  static const KeyPair pair(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  return pair;
}

std::string pem_of(const KeyPair& pair) {
  BIO* const out = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(out, pair.key);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(out);
  return text;
}

std::string number_of(const KeyPair& pair, const char* name, int size = 0) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(pair.key, name, &number);
  std::string bytes(static_cast<std::size_t>(size > 0 ? size : BN_num_bytes(number)), '\0');
  BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()),
               static_cast<int>(bytes.size()));
  BN_free(number);
  return bytes;
}

json jwk_of(const KeyPair& pair, const std::string& kid = "") {
  json jwk;
  if (&pair == &rsa()) {
    jwk = {{"kty", "RSA"},
           {"n", base64url(number_of(pair, OSSL_PKEY_PARAM_RSA_N))},
           {"e", base64url(number_of(pair, OSSL_PKEY_PARAM_RSA_E))}};
  } else if (&pair == &p256()) {
    jwk = {{"kty", "EC"},
           {"crv", "P-256"},
           {"x", base64url(number_of(pair, OSSL_PKEY_PARAM_EC_PUB_X, 32))},
           {"y", base64url(number_of(pair, OSSL_PKEY_PARAM_EC_PUB_Y, 32))}};
  } else {
    std::string x(32, '\0');
    std::size_t size = x.size();
    EVP_PKEY_get_raw_public_key(pair.key, reinterpret_cast<unsigned char*>(x.data()), &size);
    jwk = {{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", base64url(x)}};
  }
  if (!kid.empty()) jwk["kid"] = kid;
  return jwk;
}

std::string signature_of(const KeyPair& pair, const std::string& text) {
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  const bool digests = EVP_PKEY_get_base_id(pair.key) != EVP_PKEY_ED25519;
  EVP_DigestSignInit(context, nullptr, digests ? EVP_sha256() : nullptr, nullptr, pair.key);
  std::string bytes(1024, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(bytes.data());
  std::size_t size = bytes.size();
  EVP_DigestSign(context, out, &size, reinterpret_cast<const unsigned char*>(text.data()),
                 text.size());
  EVP_MD_CTX_free(context);
  bytes.resize(size);
  if (&pair != &p256()) return bytes;
  const unsigned char* der = out;
  ECDSA_SIG* const parsed = d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(size));
  std::string joined(64, '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(parsed), reinterpret_cast<unsigned char*>(joined.data()), 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(parsed), reinterpret_cast<unsigned char*>(joined.data()) + 32, 32);
  ECDSA_SIG_free(parsed);
  return joined;
}

std::string sign(const KeyPair& pair, const json& header, const json& claims) {
  const std::string text = base64url(header.dump()) + "." + base64url(claims.dump());
  return text + "." + base64url(signature_of(pair, text));
}

const char* algorithm_of(const KeyPair& pair) {
  return &pair == &rsa() ? "RS256" : &pair == &p256() ? "ES256" : "EdDSA";
}

const json kClaims = {
    {"iss", "them"}, {"sub", "s"}, {"org", 7}, {"role", "admin"}, {"exp", 2'000'000'000}};

class ManualClock final : public Clock {
 public:
  WallTime now() const override { return {1'800'000'000'000}; }
  SteadyTime steady() const override { return SteadyTime(std::chrono::hours(1)); }
};

class IssuersTest : public testing::Test {
 protected:
  IssuersTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "issuers-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~IssuersTest() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& text) {
    const std::string path = fmt::format("{}/{}", directory_, ++files_);
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  IssuerSettings pem(const KeyPair& pair) {
    IssuerSettings settings;
    settings.iss = "them";
    settings.key_file = file(pem_of(pair));
    return settings;
  }
  IssuerSettings jwks(const std::vector<json>& keys) { return jwk_set(keys); }
  IssuerSettings jwk_set(const json& keys) {
    IssuerSettings settings;
    settings.iss = "them";
    settings.jwks_file = file(json{{"keys", keys}}.dump());
    return settings;
  }
  void use(const IssuerSettings& settings) {
    auto issuers = load_issuers({&settings, 1});
    ASSERT_TRUE(issuers) << issuers.error().message;
    verifier.set_issuers(*std::move(issuers));
  }
  std::string refusal(const std::string& token) {
    const Result<Identity> identity = verifier.verify(token);
    return identity ? "" : identity.error().message;
  }
  std::string load_error(const IssuerSettings& settings) {
    const auto issuers = load_issuers({&settings, 1});
    return issuers ? "" : issuers.error().message;
  }

  ManualClock clock;
  LiveTokens live;
  TokenVerifier verifier{TokenKey{}, {}, clock, live};

 private:
  std::string directory_;
  int files_ = 0;
};

TEST_F(IssuersTest, EachAlgorithmVerifiesAgainstPemAndJwk) {
  for (const KeyPair* pair : {&rsa(), &p256(), &ed25519()}) {
    const json header = {{"alg", algorithm_of(*pair)}, {"kid", "k"}};
    for (const IssuerSettings& settings : {pem(*pair), jwks({jwk_of(*pair, "k")})}) {
      use(settings);
      const std::string token = sign(*pair, header, kClaims);
      EXPECT_EQ(refusal(token), "") << algorithm_of(*pair);
      EXPECT_EQ(verifier.verify(token)->organisation, OrganisationId{7});
      std::string changed = token;
      changed[changed.size() - 10] = changed[changed.size() - 10] == 'A' ? 'B' : 'A';
      EXPECT_EQ(refusal(changed), "the token's signature is wrong");
      EXPECT_EQ(refusal(token.substr(0, token.rfind('.') + 1)), "the token's signature is wrong");
    }
  }
}

TEST_F(IssuersTest, AKeyIsForItsOwnAlgorithmAlone) {
  for (const KeyPair* owner : {&rsa(), &p256(), &ed25519()}) {
    use(pem(*owner));
    for (const char* alg : {"RS256", "ES256", "EdDSA", "HS256", "none", "RS512", "PS256", ""}) {
      if (std::string_view(alg) == algorithm_of(*owner)) continue;
      EXPECT_EQ(refusal(sign(*owner, {{"alg", alg}}, kClaims)),
                "the token's alg and kid fit no key of its issuer")
          << algorithm_of(*owner) << " as " << alg;
    }
  }
}

// The classic: the public key, which everybody knows, as the secret of an HMAC.
TEST_F(IssuersTest, APublicKeyIsNoSecret) {
  use(pem(rsa()));
  const std::string secret = pem_of(rsa());
  json without_iss = kClaims;
  without_iss.erase("iss");
  for (const json& claims : {kClaims, without_iss}) {
    const std::string text = base64url(R"({"alg":"HS256"})") + "." + base64url(claims.dump());
    std::string mac(32, '\0');
    HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
         reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(mac.data()), nullptr);
    EXPECT_NE(refusal(text + "." + base64url(mac)), "");
  }
}

TEST_F(IssuersTest, KidSelectsInASet) {
  const json set = {jwk_of(rsa(), "a"), jwk_of(p256(), "b"), jwk_of(ed25519(), "c")};
  use(jwk_set(set));
  EXPECT_EQ(refusal(sign(p256(), {{"alg", "ES256"}, {"kid", "b"}}, kClaims)), "");
  EXPECT_EQ(refusal(sign(p256(), {{"alg", "ES256"}}, kClaims)), "");  // one key of that kind
  for (const json& kid : {json("a"), json("x"), json(""), json(1), json(nullptr)}) {
    EXPECT_NE(refusal(sign(p256(), {{"alg", "ES256"}, {"kid", kid}}, kClaims)), "") << kid;
  }
  const KeyPair other(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  EXPECT_NE(refusal(sign(other, {{"alg", "EdDSA"}, {"kid", "c"}}, kClaims)), "");
}

TEST_F(IssuersTest, WithoutKidSeveralKeysOfAKindAreTooMany) {
  use(jwks({jwk_of(rsa(), "a"), jwk_of(rsa(), "b")}));
  EXPECT_EQ(refusal(sign(rsa(), {{"alg", "RS256"}}, kClaims)),
            "the token's issuer has several keys, and no kid says which is meant");
  EXPECT_EQ(refusal(sign(rsa(), {{"alg", "RS256"}, {"kid", "b"}}, kClaims)), "");
}

TEST_F(IssuersTest, KeysOfOtherKindsAndUsesAreLeftOut) {
  json encryption = jwk_of(rsa(), "a");
  encryption["use"] = "enc";
  json other_algorithm = jwk_of(rsa(), "b");
  other_algorithm["alg"] = "PS256";
  json signing_only = jwk_of(rsa(), "c");
  signing_only["key_ops"] = {"sign"};
  json off_curve = jwk_of(p256(), "d");
  off_curve["y"] = off_curve["x"];
  const json secret = {{"kty", "oct"}, {"k", "AAAA"}, {"kid", "e"}};
  const json small = {{"kty", "RSA"}, {"n", base64url(std::string(128, '\xf1'))}, {"e", "AQAB"}};
  const json unusable = {encryption, other_algorithm, signing_only,
                         off_curve,  secret,          small,
                         7,          json::object(),  json{{"kty", "EC"}, {"crv", "P-521"}}};
  EXPECT_NE(load_error(jwk_set(unusable)).find("no key for"), std::string::npos);
  json set = unusable;
  set.push_back(jwk_of(rsa(), "good"));
  use(jwk_set(set));
  EXPECT_EQ(refusal(sign(rsa(), {{"alg", "RS256"}, {"kid", "good"}}, kClaims)), "");
  for (const char* kid : {"a", "b", "c"}) {
    EXPECT_NE(refusal(sign(rsa(), {{"alg", "RS256"}, {"kid", kid}}, kClaims)), "") << kid;
  }
}

TEST_F(IssuersTest, KeysThatComeWithTheTokenAreRefused) {
  use(pem(rsa()));
  const KeyPair mine(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}));
  for (const char* name : {"jwk", "jku", "x5c", "x5u", "crit"}) {
    const json header = {{"alg", "RS256"}, {name, jwk_of(rsa())}};
    EXPECT_NE(refusal(sign(rsa(), header, kClaims)).find("not accepted"), std::string::npos);
    EXPECT_NE(refusal(sign(mine, header, kClaims)), "");
  }
}

TEST_F(IssuersTest, IssSaysWhoseKeysCount) {
  use(pem(rsa()));
  for (const json& iss : {json("others"), json(""), json(nullptr), json(7), json({"them"})}) {
    json claims = kClaims;
    claims["iss"] = iss;
    EXPECT_EQ(refusal(sign(rsa(), {{"alg", "RS256"}}, claims)),
              "the token's iss is nobody who is known here");
  }
  const std::string twice =
      base64url(R"({"alg":"RS256"})") + "." +
      base64url(R"({"iss":"them","iss":"them","org":7,"role":"admin","exp":2000000000})");
  EXPECT_NE(refusal(twice + "." + base64url(signature_of(rsa(), twice))), "");
  // Ours have none, and theirs without it are not ours.
  json claims = kClaims;
  claims.erase("iss");
  EXPECT_NE(refusal(sign(rsa(), {{"alg", "RS256"}}, claims)), "");
  verifier.set_issuers({});
  EXPECT_NE(refusal(sign(rsa(), {{"alg", "RS256"}}, kClaims)), "");
}

TEST_F(IssuersTest, WhatWasRememberedIsForgottenWithTheKey) {
  use(pem(ed25519()));
  const std::string token = sign(ed25519(), {{"alg", "EdDSA"}}, kClaims);
  EXPECT_EQ(refusal(token), "");
  use(pem(rsa()));
  EXPECT_NE(refusal(token), "");
}

TEST_F(IssuersTest, BoundsHold) {
  IssuerSettings settings = pem(ed25519());
  settings.role_max = Role::Developer;
  settings.organisations = {OrganisationId{7}, OrganisationId{8}};
  settings.audience = "sluice";
  use(settings);
  const auto with = [this](const json& changes) {
    json claims = kClaims;
    claims["role"] = "developer";
    claims["aud"] = "sluice";
    claims.update(changes);
    return refusal(sign(ed25519(), {{"alg", "EdDSA"}}, claims));
  };
  EXPECT_EQ(with(json::object()), "");
  EXPECT_EQ(with({{"role", "viewer"}, {"org", 8}, {"aud", {"a", "sluice"}}}), "");
  for (const char* role : {"operator", "admin", "ingest"}) {
    EXPECT_NE(with({{"role", role}}).find("max_role"), std::string::npos) << role;
  }
  EXPECT_EQ(with({{"org", 9}}), "the token's issuer does not speak for its organisation");
  for (const json& aud : {json("other"), json({"a", "b"}), json(nullptr), json(json::array())}) {
    EXPECT_EQ(with({{"aud", aud}}), "the token's aud does not name this server") << aud;
  }
  EXPECT_EQ(with({{"exp", 1}}), "the token has expired");
  const std::string no_date =
      "the token's exp is no date in seconds since 1970 (are these milliseconds?)";
  EXPECT_EQ(with({{"exp", nullptr}}), no_date);
  EXPECT_EQ(with({{"exp", 1e300}}), no_date);
  EXPECT_EQ(with({{"nbf", 1'900'000'000}}), "the token is not valid yet");

  settings.role_max = Role::Ingest;
  use(settings);
  json claims = kClaims;
  claims["role"] = "ingest";
  claims["aud"] = "sluice";
  EXPECT_EQ(refusal(sign(ed25519(), {{"alg", "EdDSA"}}, claims)), "");
  claims.erase("org");  // for all: more than the two
  EXPECT_NE(refusal(sign(ed25519(), {{"alg", "EdDSA"}}, claims)), "");
}

TEST_F(IssuersTest, AnotherIssuersClaimsDoNotActAsOurs) {
  use(pem(ed25519()));
  json claims = kClaims;
  claims["application_token"] = "of ours";
  EXPECT_EQ(refusal(sign(ed25519(), {{"alg", "EdDSA"}}, claims)), "");
  claims["use"] = "refresh";
  EXPECT_FALSE(verifier.verify_refresh(sign(ed25519(), {{"alg", "EdDSA"}}, claims)));
}

TEST_F(IssuersTest, WhatCannotBeUsedIsNamed) {
  const KeyPair small(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024}));
  const KeyPair p384(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
  IssuerSettings two = pem(rsa());
  two.key_file = file(pem_of(rsa()) + pem_of(p256()));
  IssuerSettings empty = two;
  empty.key_file = file("");
  IssuerSettings missing = two;
  missing.key_file = "/nowhere/key.pem";
  IssuerSettings both = two;
  both.jwks_file = "x";
  IssuerSettings neither;
  neither.iss = "them";
  IssuerSettings nameless = pem(rsa());
  nameless.iss = "";
  IssuerSettings contradiction = pem(rsa());
  contradiction.role_max = Role::Operator;
  contradiction.organisations = {OrganisationId{1}};
  const std::pair<IssuerSettings, const char*> bad[] = {
      {pem(small), "2048"},
      {pem(p384), "P-256"},
      {two, "more than one key"},
      {empty, "no PEM public key"},
      {missing, "/nowhere/key.pem: cannot be read"},
      {both, "either"},
      {neither, "either"},
      {nameless, "iss"},
      {contradiction, "every organisation"},
      {jwks({jwk_of(rsa(), "a"), jwk_of(rsa(), "a")}), "two keys have the kid a"},
      {jwk_set(json::array()), "no key for"},
      {jwk_set("x"), "not a JWK Set"},
  };
  for (const auto& [settings, message] : bad) {
    const std::string error = load_error(settings);
    EXPECT_NE(error.find(message), std::string::npos) << message << " in " << error;
  }
  const std::vector<IssuerSettings> twice = {pem(rsa()), pem(p256())};
  EXPECT_FALSE(load_issuers(twice));
}

}  // namespace
}  // namespace sluice::api
