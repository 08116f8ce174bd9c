#pragma once
// The receiver's side of signer.h: whether a request was signed with a secret.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "signing/body_digest.h"

namespace sluice::signing {

// Of one request, as it came over the wire; "" for a header that it does not have.
struct Received {
  std::string_view webhook_id;
  std::string_view webhook_timestamp;
  std::string_view webhook_signature;
  std::string_view dt_signature;  // X-Dt-Signature
  Body body;
};

enum class Verdict : std::uint8_t {
  Valid,
  Missing,    // no signature of the secret's scheme
  Wrong,      // another secret, or other bytes than were signed
  OutOfTime,  // signed with the secret, but too long ago, or in the future
};

struct Verification {
  Verdict verdict;
  std::string text;  // what a person reads, in lower case; for all but Valid with the likely cause
};

// Threads: any.
class Verifier {
 public:
  // Either way from the receiver's clock, as the libraries of Standard Webhooks have it.
  static constexpr std::int64_t kToleranceSeconds = 300;

  // What begins with whsec_, whsk_ or whpk_ (the public half alone) is a key of Standard Webhooks,
  // anything else a secret of `dt`. InvalidArgument: what is wrong with `secret`, without it.
  static Result<Verifier> create(std::string_view secret);

  Verification verify(const Received& request, WallTime now) const;

 private:
  enum class Kind : std::uint8_t { Symmetric, Ed25519, Dt };
  Verifier(Kind kind, std::string key) : kind_(kind), key_(std::move(key)) {}

  Verification verify_webhook(const Received& request, WallTime now) const;
  Verification verify_dt(const Received& request, WallTime now) const;
  bool is_signature(std::string_view base64_text, std::string_view head, Body body) const;

  Kind kind_;
  std::string key_;  // the HMAC's, or the public one of ed25519
};

}  // namespace sluice::signing
