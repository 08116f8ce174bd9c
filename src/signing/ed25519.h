#pragma once
// ed25519 (RFC 8032). Keys are kEd25519KeyBytes long, which the caller has seen to.

#include <cstddef>
#include <string>
#include <string_view>

#include "signing/body_digest.h"

namespace sluice::signing {

inline constexpr std::size_t kEd25519KeyBytes = 32;  // of the seed, and of the public key

std::string ed25519_public_key(std::string_view seed);

// The signature of `head` and then the body; 64 bytes.
std::string ed25519_sign(std::string_view seed, std::string_view head, Body body);

// `signature` may be of any length, `public_key` any bytes.
bool ed25519_verifies(std::string_view public_key, std::string_view signature,
                      std::string_view head, Body body);

}  // namespace sluice::signing
