#pragma once
// Whose fault it is when a request fails. The one place for this rule; a refusal that was answered
// is always the destination's.

#include "base/result.h"
#include "model/attempt.h"

namespace sluice::egress {

// How far a request has come.
enum class Stage : std::uint8_t {
  Lookup,   // of the destination's name
  Waiting,  // for one of the connections that our limits allow
  Connect,  // to the destination
  Tls,      // with it
  Answer,   // the request is on its way, or the answer
  Proxy,    // the operator's, on the way through it
  Own,      // our DNS servers, sockets, certificate authorities
};

constexpr Fault fault_at(Stage stage, ErrorCode code) {
  if (code == ErrorCode::Cancelled) return Fault::Us;                 // we broke it off
  if (code == ErrorCode::InvalidArgument) return Fault::Destination;  // it can never work so
  switch (stage) {
    case Stage::Lookup:
    case Stage::Connect:
    case Stage::Tls: return Fault::Network;
    case Stage::Answer: return Fault::Destination;
    case Stage::Waiting:
    case Stage::Proxy:
    case Stage::Own: break;
  }
  return Fault::Us;
}

}  // namespace sluice::egress
