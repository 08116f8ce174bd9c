#include "catalog/secret_box.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <memory>

#include "base/assert.h"
#include "base/base64.h"

namespace sluice::catalog {
namespace {

constexpr std::string_view kVersion = "1:";
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// Cipher and key set, `place` taken in; null when OpenSSL refuses, which only a lack of memory
// does.
Context begin(const KeyBytes& key, std::string_view nonce, std::string_view place, bool sealing) {
  Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int taken = 0;
  const bool ready = context != nullptr &&
                     EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(),
                                       bytes(nonce), sealing ? 1 : 0) == 1 &&
                     EVP_CipherUpdate(context.get(), nullptr, &taken, bytes(place),
                                      static_cast<int>(place.size())) == 1;
  if (!ready) context.reset();
  return context;
}

}  // namespace

std::string SecretBox::seal(std::string_view secret, std::string_view place) const {
  std::string raw(kNonceBytes + secret.size() + kTagBytes, '\0');
  SLUICE_ASSERT(RAND_bytes(bytes(raw), static_cast<int>(kNonceBytes)) == 1);
  const Context context = begin(next_.value_or(key_), raw, place, true);
  unsigned char* const text = bytes(raw) + kNonceBytes;
  unsigned char* const tag = text + secret.size();
  int size = 0;
  SLUICE_ASSERT(context != nullptr &&
                EVP_CipherUpdate(context.get(), text, &size, bytes(secret),
                                 static_cast<int>(secret.size())) == 1 &&
                EVP_CipherFinal_ex(context.get(), tag, &size) == 1 &&
                EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag) == 1);
  return fmt::format("{}{}", kVersion, base64(raw));
}

Result<std::string> SecretBox::open(std::string_view sealed, std::string_view place) const {
  const Error refused{ErrorCode::Corruption,
                      fmt::format("the secret {} cannot be read: it was sealed with another key, "
                                  "or is damaged; restore the secrets key that belongs to this "
                                  "catalog",
                                  place)};
  if (!sealed.starts_with(kVersion)) return refused;
  const std::string raw = from_base64(sealed.substr(kVersion.size())).value_or("");
  if (raw.size() < kNonceBytes + kTagBytes) return refused;
  std::optional<std::string> secret = open_with(key_, raw, place);
  if (!secret && next_) secret = open_with(*next_, raw, place);
  if (!secret) return refused;
  return *std::move(secret);
}

// Nullopt: it was not this key, not for this place, or was changed since.
std::optional<std::string> SecretBox::open_with(const KeyBytes& key, std::string raw,
                                                std::string_view place) {
  std::string secret(raw.size() - kNonceBytes - kTagBytes, '\0');
  const Context context = begin(key, raw, place, false);
  unsigned char* const text = bytes(raw) + kNonceBytes;
  int size = 0;
  if (context == nullptr ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, text + secret.size()) !=
          1 ||
      EVP_CipherUpdate(context.get(), bytes(secret), &size, text,
                       static_cast<int>(secret.size())) != 1 ||
      EVP_CipherFinal_ex(context.get(), bytes(secret) + size, &size) != 1) {
    return std::nullopt;
  }
  return secret;
}

}  // namespace sluice::catalog
