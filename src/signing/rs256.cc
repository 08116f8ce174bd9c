#include "signing/rs256.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "base/base64.h"

namespace sluice::signing {
namespace {

constexpr int kKeyBitsMin = 2048;  // RFC 7518, 3.3

// Never asks for a password on a terminal.
int no_password(char*, int, int, void*) { return -1; }

std::string signature(EVP_PKEY* key, std::string_view text) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  std::string value(static_cast<std::size_t>(EVP_PKEY_get_size(key)), '\0');
  std::size_t size = value.size();
  SLUICE_ASSERT(context != nullptr &&
                EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
                EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(value.data()), &size,
                               reinterpret_cast<const unsigned char*>(text.data()),
                               text.size()) == 1);
  value.resize(size);
  return value;
}

}  // namespace

Result<Rs256> Rs256::from_pem(std::string_view pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(text.get(), nullptr, &no_password, nullptr),
                                &EVP_PKEY_free);
  if (key == nullptr || EVP_PKEY_is_a(key.get(), "RSA") != 1 ||
      EVP_PKEY_get_bits(key.get()) < kKeyBitsMin) {
    return Error{ErrorCode::InvalidArgument, "is not a private RSA key of at least 2,048 bits"};
  }
  return Rs256(std::move(key));
}

std::string Rs256::sign(const nlohmann::ordered_json& claims, std::string_view key_id) const {
  nlohmann::ordered_json header = {{"alg", "RS256"}, {"typ", "JWT"}};
  if (!key_id.empty()) header["kid"] = key_id;
  const std::string text = base64url(header.dump()) + "." + base64url(claims.dump());
  return text + "." + base64url(signature(key_.get(), text));
}

}  // namespace sluice::signing
