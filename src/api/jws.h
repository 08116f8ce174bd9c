#pragma once
// Signed compact texts (RFC 7515): their parts, and public keys that check signatures.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/base64.h"
#include "base/result.h"

struct evp_pkey_st;

namespace sluice::api {

struct JwsParts {  // still encoded
  std::string_view header;
  std::string_view claims;
  std::string_view signature;
  std::string_view signed_text;  // header.claims
};
std::optional<JwsParts> split_jws(std::string_view token);

// A public key; it knows the one algorithm that it is for. Threads: any.
class PublicKey {
 public:
  // InvalidArgument: not one key of RSA (2,048 to 8,192 bits), P-256 or Ed25519, or not sound.
  static Result<PublicKey> from_pem(std::string_view pem);
  // Numbers as a JWK holds them: big-endian bytes.
  static Result<PublicKey> from_rsa(std::string_view modulus, std::string_view exponent);
  static Result<PublicKey> from_p256(std::string_view x, std::string_view y);
  static Result<PublicKey> from_ed25519(std::string_view x);

  std::string_view algorithm() const { return algorithm_; }  // RS256, ES256 or EdDSA
  bool verify(std::string_view text, std::string_view signature) const;

 private:
  using Key = std::shared_ptr<evp_pkey_st>;
  PublicKey(Key key, std::string_view algorithm) : key_(std::move(key)), algorithm_(algorithm) {}
  static Result<PublicKey> of(Key key);

  Key key_;
  std::string_view algorithm_;
};

}  // namespace sluice::api
