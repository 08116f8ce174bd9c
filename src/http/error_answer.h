#pragma once
// The error triple, everywhere the same: {"error_code", "error_token", "message"}. The table of
// codes and tokens is in error_answer.cc, and nowhere else; a token is never renamed.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/server.h"

namespace sluice::http {

// One enumerator a token; spelled like the token itself.
enum class ErrorToken : std::uint8_t {
  MalformedRequest,        // 400: not HTTP, or a body that is not JSON
  MalformedBody,           // 400: the body as a whole cannot be read
  BadQuery,                // 400: a query parameter makes no sense
  BadHeader,               // 400: a header's value cannot be used
  Unauthorized,            // 401
  Forbidden,               // 403
  NotFound,                // 404
  MethodNotAllowed,        // 405
  RequestTimeout,          // 408
  Conflict,                // 409
  Loop,                    // 409: X-Sluice-Hops names this installation
  IdempotencyKeyReused,    // 409: the key was used with another body
  BodyTooLarge,            // 413
  RecordTooLarge,          // 413
  UnsupportedMediaType,    // 415
  UnsupportedEncoding,     // 415
  InvalidStream,           // 422: a property of a stream
  InvalidRecord,           // 422
  StreamLimit,             // 422
  DestinationCheckFailed,  // 422
  QuarantineFull,          // 422
  InvalidRequest,          // 422: a property of what is no stream
  TokenLimit,              // 422: application tokens of an organisation
  RateLimited,             // 429
  TooManyTries,            // 429: to log in, from one address
  HeaderTooLarge,          // 431
  Internal,                // 500
  NotImplemented,          // 501
  StorageUnavailable,      // 503
  Stopping,                // 503
  Overloaded,              // 503
};

struct ErrorTokenInfo {
  int status;
  int code;  // the status followed by one digit
  std::string_view token;
};
const ErrorTokenInfo& info(ErrorToken token);

// `message` names the object and the remedy; no secrets. 429 and 503 carry Retry-After.
Response error_response(ErrorToken token, std::string_view message);

// For an Error that crossed a folder's border: one status per ErrorCode.
ErrorToken token_for(ErrorCode code);

}  // namespace sluice::http
