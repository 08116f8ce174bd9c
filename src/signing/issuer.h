#pragma once
// This server as one that issues signatures: its own P-256 key, and where receivers find the public
// half of it.

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

struct evp_pkey_st;

namespace sluice::signing {

// Threads: any, once the URL is set.
class Issuer {
 public:
  static constexpr std::string_view kPath = "/data-connector";
  static constexpr std::string_view kDiscoveryPath =
      "/data-connector/.well-known/openid-configuration";
  static constexpr std::string_view kKeysPath = "/data-connector/.well-known/jwks.json";

  // A new key, in PEM: for from_pem() and for nobody else's eyes.
  static std::string generate();
  // InvalidArgument: not a private key of P-256.
  static Result<Issuer> from_pem(std::string_view pem);

  // Under which receivers reach this server: "https://sluice.example". Before the first request.
  void set_public_url(std::string url) { public_url_ = std::move(url); }

  std::string url() const;                           // `iss`
  const std::string& key_id() const { return id_; }  // `kid`: the key's thumbprint (RFC 7638)
  nlohmann::ordered_json discovery() const;
  nlohmann::ordered_json keys() const;  // a JWK set

  // An ES256 JWT.
  std::string sign(const nlohmann::ordered_json& claims) const;

 private:
  explicit Issuer(std::shared_ptr<evp_pkey_st> key);

  std::shared_ptr<evp_pkey_st> key_;  // shared by copies, never changed
  std::string x_;                     // the public key's coordinates, base64url
  std::string y_;
  std::string id_;
  std::string public_url_;
};

}  // namespace sluice::signing
