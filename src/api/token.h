#pragma once
// Tokens: JWTs (RFC 7519) signed HS256 with the server's own key. Claims: `exp`, `role` (both
// required), `sub`, `org`, `nbf`.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "model/identity.h"

namespace sluice::api {

struct TokenKey {
  std::array<unsigned char, 32> bytes{};
};

// Reads the key file, or makes it: 32 random bytes, mode 0600, on stable storage on return. Several
// processes may call it at once; all get the same key. Corruption: not 32 bytes. Io.
Result<TokenKey> load_or_create_token_key(const std::string& path);

// `expires` is cut to a second.
std::string sign_token(const TokenKey& key, const Identity& identity, WallTime now,
                       WallTime expires);

// Threads: any. Remembers what it has verified, in bounded memory.
class TokenVerifier {
 public:
  static constexpr std::size_t kTokenBytesMax = 8 * 1024;
  static constexpr std::int64_t kRememberedMs = 60'000;
  static constexpr std::size_t kRememberedPerShard = 512;

  // `clock` outlives it.
  TokenVerifier(const TokenKey& key, const Clock& clock) : key_(key), clock_(clock) {}

  // InvalidArgument: not a token of ours, not yet or no longer valid; the message says which and
  // repeats nothing of the token.
  Result<Identity> verify(std::string_view token);

 private:
  using Digest = std::array<unsigned char, 32>;
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const noexcept;
  };
  struct Remembered {
    Identity identity;
    SteadyTime until;
    std::int64_t expires_ms = 0;
  };
  struct alignas(64) Shard {
    Mutex mutex;
    std::unordered_map<Digest, Remembered, DigestHash> tokens SLUICE_GUARDED_BY(mutex);
  };

  const TokenKey key_;
  const Clock& clock_;
  std::array<Shard, 8> shards_;
};

}  // namespace sluice::api
