#pragma once
// JWTs signed by RS256 (RFC 7518, 3.3) with an RSA key of somebody else's.

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

struct evp_pkey_st;

namespace sluice::signing {

// Threads: any.
class Rs256 {
 public:
  // InvalidArgument: not a private RSA key of at least 2,048 bits.
  static Result<Rs256> from_pem(std::string_view pem);

  // `key_id` becomes `kid`; "" leaves it out.
  std::string sign(const nlohmann::ordered_json& claims, std::string_view key_id) const;

 private:
  explicit Rs256(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}

  std::shared_ptr<evp_pkey_st> key_;  // shared by copies, never changed
};

}  // namespace sluice::signing
