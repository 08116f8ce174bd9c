#include "signing/rs256.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "signing/issuer.h"

namespace sluice::signing {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

std::string pem_of(EVP_PKEY* key) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
  PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  const char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

bool verifies(EVP_PKEY* key, const std::string& text, const std::string& signature) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(text.data()),
                          text.size()) == 1;
}

TEST(Rs256, SignsWhatTheKeysPublicHalfVerifies) {
  const Key key(EVP_RSA_gen(2048), &EVP_PKEY_free);
  const Result<Rs256> signer = Rs256::from_pem(pem_of(key.get()));
  ASSERT_TRUE(signer.has_value());
  const std::string jwt = signer->sign({{"iss", "a"}, {"iat", 1}}, "key-1");
  const std::size_t dot = jwt.find('.');
  const std::size_t last = jwt.rfind('.');
  EXPECT_EQ(from_base64url(jwt.substr(0, dot)), R"({"alg":"RS256","typ":"JWT","kid":"key-1"})");
  EXPECT_EQ(from_base64url(jwt.substr(dot + 1, last - dot - 1)), R"({"iss":"a","iat":1})");
  EXPECT_TRUE(verifies(key.get(), jwt.substr(0, last), *from_base64url(jwt.substr(last + 1))));
  EXPECT_EQ(from_base64url(signer->sign({}, "").substr(0, 36)), R"({"alg":"RS256","typ":"JWT"})");
}

TEST(Rs256, RefusesOtherKeys) {
  const Key small(EVP_RSA_gen(1024), &EVP_PKEY_free);
  for (const std::string& pem :
       {std::string(), std::string("x"), Issuer::generate(), pem_of(small.get())}) {
    const Result<Rs256> signer = Rs256::from_pem(pem);
    ASSERT_FALSE(signer.has_value());
    EXPECT_EQ(signer.error().message, "is not a private RSA key of at least 2,048 bits");
  }
}

}  // namespace
}  // namespace sluice::signing
