#include "http/error_answer.h"

#include <array>
#include <nlohmann/json.hpp>

namespace sluice::http {
namespace {

// In the order of the enumerators.
constexpr std::array kTable = {
    ErrorTokenInfo{400, 4000, "MalformedRequest"},
    ErrorTokenInfo{400, 4001, "MalformedBody"},
    ErrorTokenInfo{400, 4002, "BadQuery"},
    ErrorTokenInfo{400, 4003, "BadHeader"},
    ErrorTokenInfo{401, 4010, "Unauthorized"},
    ErrorTokenInfo{403, 4030, "Forbidden"},
    ErrorTokenInfo{404, 4040, "NotFound"},
    ErrorTokenInfo{405, 4050, "MethodNotAllowed"},
    ErrorTokenInfo{408, 4080, "RequestTimeout"},
    ErrorTokenInfo{409, 4090, "Conflict"},
    ErrorTokenInfo{409, 4091, "Loop"},
    ErrorTokenInfo{409, 4092, "IdempotencyKeyReused"},
    ErrorTokenInfo{413, 4130, "BodyTooLarge"},
    ErrorTokenInfo{413, 4131, "RecordTooLarge"},
    ErrorTokenInfo{415, 4150, "UnsupportedMediaType"},
    ErrorTokenInfo{415, 4151, "UnsupportedEncoding"},
    ErrorTokenInfo{422, 4220, "InvalidStream"},
    ErrorTokenInfo{422, 4221, "InvalidRecord"},
    ErrorTokenInfo{422, 4222, "StreamLimit"},
    ErrorTokenInfo{422, 4223, "DestinationCheckFailed"},
    ErrorTokenInfo{422, 4224, "QuarantineFull"},
    ErrorTokenInfo{422, 4225, "InvalidRequest"},
    ErrorTokenInfo{422, 4226, "TokenLimit"},
    ErrorTokenInfo{429, 4290, "RateLimited"},
    ErrorTokenInfo{429, 4291, "TooManyTries"},
    ErrorTokenInfo{431, 4310, "HeaderTooLarge"},
    ErrorTokenInfo{500, 5000, "Internal"},
    ErrorTokenInfo{501, 5010, "NotImplemented"},
    ErrorTokenInfo{503, 5030, "StorageUnavailable"},
    ErrorTokenInfo{503, 5031, "Stopping"},
    ErrorTokenInfo{503, 5032, "Overloaded"},
};
static_assert(kTable.size() == static_cast<std::size_t>(ErrorToken::Overloaded) + 1);

}  // namespace

const ErrorTokenInfo& info(ErrorToken token) { return kTable[static_cast<std::size_t>(token)]; }

Response error_response(ErrorToken token, std::string_view message) {
  const ErrorTokenInfo& row = info(token);
  nlohmann::ordered_json body = {
      {"error_code", row.code}, {"error_token", row.token}, {"message", message}};
  Response response{.status = row.status,
                    .body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
  if (row.status == 429 || row.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

ErrorToken token_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::InvalidArgument: return ErrorToken::InvalidStream;
    case ErrorCode::NotFound: return ErrorToken::NotFound;
    case ErrorCode::Conflict: return ErrorToken::Conflict;
    case ErrorCode::ResourceExhausted:
    case ErrorCode::Timeout:
    case ErrorCode::Unavailable: return ErrorToken::StorageUnavailable;
    case ErrorCode::Cancelled: return ErrorToken::Stopping;
    case ErrorCode::Corruption:
    case ErrorCode::Io: return ErrorToken::StorageUnavailable;
  }
  return ErrorToken::Internal;
}

}  // namespace sluice::http
