#include "signing/ed25519.h"

#include <openssl/evp.h>

#include <memory>

#include "base/assert.h"

namespace sluice::signing {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Key private_key(std::string_view seed) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes(seed), seed.size()),
          &EVP_PKEY_free);
  SLUICE_ASSERT(key != nullptr);
  return key;
}

// ed25519 wants the text in one piece.
std::string joined(std::string_view head, Body body) {
  std::string text(head);
  for (const std::string_view part : body) text += part;
  return text;
}

}  // namespace

std::string ed25519_public_key(std::string_view seed) {
  const Key key = private_key(seed);
  std::string raw(kEd25519KeyBytes, '\0');
  std::size_t size = raw.size();
  SLUICE_ASSERT(EVP_PKEY_get_raw_public_key(key.get(), bytes(raw), &size) == 1);
  return raw;
}

std::string ed25519_sign(std::string_view seed, std::string_view head, Body body) {
  const std::string text = joined(head, body);
  const Key key = private_key(seed);
  const Context context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  std::string signature(64, '\0');
  std::size_t size = signature.size();
  SLUICE_ASSERT(context != nullptr &&
                EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
                EVP_DigestSign(context.get(), bytes(signature), &size, bytes(text), text.size()) ==
                    1);
  return signature;
}

bool ed25519_verifies(std::string_view public_key, std::string_view signature,
                      std::string_view head, Body body) {
  const std::string text = joined(head, body);
  const Key key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(public_key), public_key.size()),
      &EVP_PKEY_free);
  const Context context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  SLUICE_ASSERT(key != nullptr && context != nullptr &&
                EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  return EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(text),
                          text.size()) == 1;
}

}  // namespace sluice::signing
