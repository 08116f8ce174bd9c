#pragma once
// Digests over the parts of a body, taken one after the other where they lie.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace sluice::signing {

using Body = std::span<const std::string_view>;

enum class Digest : std::uint8_t { Sha1, Sha256 };

std::string hex_digest(Digest digest, Body body);

// SHA-256 of what comes piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void append(std::string_view part);
  std::string hex();  // nothing more comes

 private:
  evp_md_ctx_st* context_;
};

// HMAC-SHA256 over `head` and then the body; 32 bytes.
std::string hmac_sha256(std::string_view key, std::string_view head, Body body);

}  // namespace sluice::signing
