#include "signing/body_digest.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <memory>

#include "base/assert.h"

namespace sluice::signing {
namespace {

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string final_hex(EVP_MD_CTX* context) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> value{};
  unsigned int size = 0;
  SLUICE_ASSERT(EVP_DigestFinal_ex(context, value.data(), &size) == 1);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", value[i]);
  return text;
}

}  // namespace

std::string hex_digest(Digest digest, Body body) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  const EVP_MD* const kind = digest == Digest::Sha1 ? EVP_sha1() : EVP_sha256();
  SLUICE_ASSERT(context != nullptr && EVP_DigestInit_ex(context.get(), kind, nullptr) == 1);
  for (const std::string_view part : body) {
    SLUICE_ASSERT(EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1);
  }
  return final_hex(context.get());
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  SLUICE_ASSERT(context_ != nullptr && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::append(std::string_view part) {
  SLUICE_ASSERT(EVP_DigestUpdate(context_, part.data(), part.size()) == 1);
}

std::string Sha256::hex() { return final_hex(context_); }

std::string hmac_sha256(std::string_view key, std::string_view head, Body body) {
  const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> hmac(
      EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_HMAC, nullptr), &EVP_MAC_free);
  SLUICE_ASSERT(hmac != nullptr);
  const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context(
      EVP_MAC_CTX_new(hmac.get()), &EVP_MAC_CTX_free);
  std::string digest = OSSL_DIGEST_NAME_SHA2_256;
  const std::array parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_end()};
  SLUICE_ASSERT(context != nullptr &&
                EVP_MAC_init(context.get(), bytes(key), key.size(), parameters.data()) == 1 &&
                EVP_MAC_update(context.get(), bytes(head), head.size()) == 1);
  for (const std::string_view part : body) {
    SLUICE_ASSERT(EVP_MAC_update(context.get(), bytes(part), part.size()) == 1);
  }
  std::string mac(32, '\0');
  std::size_t size = 0;
  SLUICE_ASSERT(EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(mac.data()), &size,
                              mac.size()) == 1 &&
                size == mac.size());
  return mac;
}

}  // namespace sluice::signing
