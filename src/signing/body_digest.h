#pragma once
// Digests over the parts of a body, taken one after the other where they lie.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sluice::signing {

using Body = std::span<const std::string_view>;

enum class Digest : std::uint8_t { Sha1, Sha256 };

std::string hex_digest(Digest digest, Body body);

// HMAC-SHA256 over `head` and then the body; 32 bytes.
std::string hmac_sha256(std::string_view key, std::string_view head, Body body);

}  // namespace sluice::signing
