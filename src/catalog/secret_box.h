#pragma once
// How secrets that must be read again lie in the catalog: AES-256-GCM under a key that lies in a
// file of its own, as text: "1:" and the base64 of nonce (12 bytes), ciphertext, tag (16 bytes).

#include <optional>
#include <string>
#include <string_view>

#include "base/key_file.h"
#include "base/result.h"

namespace sluice::catalog {

// Threads: any.
class SecretBox {
 public:
  // `next`: a key that is to take the place of `key`. What either sealed is opened, and the next
  // one seals.
  explicit SecretBox(const KeyBytes& key, const std::optional<KeyBytes>& next = std::nullopt)
      : key_(key), next_(next) {}

  // `place` says whose secret it is and which ("7/application_token/ab12/secret"): what was sealed
  // for one place opens in no other.
  std::string seal(std::string_view secret, std::string_view place) const;
  // Corruption: sealed with another key or for another place, or changed since.
  Result<std::string> open(std::string_view sealed, std::string_view place) const;

 private:
  static std::optional<std::string> open_with(const KeyBytes& key, std::string raw,
                                              std::string_view place);

  KeyBytes key_;
  std::optional<KeyBytes> next_;
};

}  // namespace sluice::catalog
