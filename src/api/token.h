#pragma once
// Tokens: JWTs (RFC 7519), ours signed HS256 with the server's own key, others' with what their
// `iss` is configured to have. Claims: `exp`, `role` (both required), `sub`, `org`, `nbf`, `aud`.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/issuers.h"
#include "api/jws.h"
#include "api/live_tokens.h"
#include "base/clock.h"
#include "base/key_file.h"
#include "base/mutex.h"
#include "base/result.h"
#include "model/identity.h"

namespace sluice::api {

struct TokenKey {
  KeyBytes bytes{};
};

// As load_or_create_key().
Result<TokenKey> load_or_create_token_key(const std::string& path);

// `expires` is cut to a second.
std::string sign_token(const TokenKey& key, const Identity& identity, WallTime now,
                       WallTime expires);

// What an application token is exchanged for. Both end with it.
struct TokenPair {
  static constexpr std::int64_t kAuthMs = 4 * 3'600'000ll;
  static constexpr std::int64_t kRefreshMs = 24 * 3'600'000ll;
  std::string auth;
  std::string refresh;
};
// `identity` is an application token's, its subject the key id.
TokenPair sign_token_pair(const TokenKey& key, const Identity& identity, WallTime now);

// Threads: any. Remembers what it has verified, in bounded memory.
class TokenVerifier {
 public:
  static constexpr std::size_t kTokenBytesMax = 8 * 1024;
  static constexpr std::int64_t kRememberedMs = 60'000;
  static constexpr std::size_t kRememberedPerShard = 512;

  // `clock` and `live` outlive it.
  TokenVerifier(const TokenKey& key, std::vector<Issuer> issuers, const Clock& clock,
                const LiveTokens& live);

  // From now on these count; what was remembered is forgotten.
  void set_issuers(std::vector<Issuer> issuers);

  // InvalidArgument: not a token that counts here, not yet or no longer valid; the message says
  // which and repeats nothing of the token.
  Result<Identity> verify(std::string_view token);
  // The key id of the application token that a refresh token was made from, which may be revoked
  // by now. Errors as verify().
  Result<std::string> verify_refresh(std::string_view token) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const noexcept;
  };
  struct Checked;  // signature and times are right
  struct Remembered {
    Identity identity = {};
    SteadyTime until = {};
    std::int64_t expires_ms = 0;
    LiveTokens::Flag revoked = {};  // null: not made from an application token
  };
  struct alignas(64) Shard {
    Mutex mutex;
    std::unordered_map<Digest, Remembered, DigestHash> tokens SLUICE_GUARDED_BY(mutex);
  };

  Result<std::shared_ptr<const Issuer>> check_signature(const JwsParts& parts,
                                                        const nlohmann::json& header,
                                                        const nlohmann::json& claims) const;
  Result<Checked> check(std::string_view token, WallTime now) const;
  Result<Remembered> verify_now(std::string_view token, WallTime now) const;

  const TokenKey key_;
  const Clock& clock_;
  const LiveTokens& live_;
  mutable Mutex issuers_mutex_;
  std::shared_ptr<const std::vector<Issuer>> issuers_ SLUICE_GUARDED_BY(issuers_mutex_);
  std::array<Shard, 8> shards_;
};

}  // namespace sluice::api
