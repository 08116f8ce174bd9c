#include "ingest/refusal.h"

#include <nlohmann/json.hpp>

namespace sluice::ingest {

http::Response answer(const Refusal& refusal) {
  http::Response response = http::error_response(refusal.token, refusal.message);
  if (refusal.token == http::ErrorToken::UnsupportedEncoding) {
    response.headers.emplace_back("Accept-Encoding", "gzip, zstd");  // RFC 9110, 15.5.16
  }
  if (refusal.faults.empty()) return response;
  const http::ErrorTokenInfo& row = http::info(refusal.token);
  nlohmann::ordered_json body = {
      {"error_code", row.code}, {"error_token", row.token}, {"message", refusal.message}};
  nlohmann::ordered_json& errors = body["errors"] = nlohmann::ordered_json::array();
  for (const RecordFault& fault : refusal.faults) {
    nlohmann::ordered_json entry = {{"index", fault.index}};
    if (fault.line > 0) entry["line"] = fault.line;
    entry["message"] = fault.message;
    errors.push_back(std::move(entry));
  }
  response.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return response;
}

}  // namespace sluice::ingest
