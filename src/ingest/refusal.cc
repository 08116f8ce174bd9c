#include "ingest/refusal.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <span>

namespace sluice::ingest {
namespace {

using nlohmann::ordered_json;

ordered_json errors_json(std::span<const RecordFault> faults) {
  ordered_json errors = ordered_json::array();
  for (const RecordFault& fault : faults) {
    ordered_json entry = {{"index", fault.index}};
    if (fault.line > 0) entry["line"] = fault.line;
    entry["message"] = fault.message;
    errors.push_back(std::move(entry));
  }
  return errors;
}

// Messages may quote what is not UTF-8.
std::string to_text(const ordered_json& body) {
  return body.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

http::Response answer(const Acceptance& acceptance) {
  if (!acceptance.rejected && !acceptance.replayed) {
    return {.body = fmt::format("{{\"accepted\":{}}}", acceptance.accepted)};
  }
  ordered_json body = {{"accepted", acceptance.accepted}};
  if (acceptance.rejected) body["rejected"] = *acceptance.rejected;
  if (acceptance.faults) body["errors"] = errors_json(*acceptance.faults);
  if (acceptance.replayed) body["replayed"] = true;
  return {.body = to_text(body)};
}

http::Response answer(const Refusal& refusal) {
  http::Response response = http::error_response(refusal.token, refusal.message);
  if (refusal.token == http::ErrorToken::UnsupportedEncoding) {
    response.headers.emplace_back("Accept-Encoding", "gzip, zstd");  // RFC 9110, 15.5.16
  }
  for (auto& [name, value] : response.headers) {
    if (name == "Retry-After") value = fmt::format("{}", refusal.retry_after_s);
  }
  if (refusal.faults.empty()) return response;
  const http::ErrorTokenInfo& row = http::info(refusal.token);
  const ordered_json body = {{"error_code", row.code},
                             {"error_token", row.token},
                             {"message", refusal.message},
                             {"errors", errors_json(refusal.faults)}};
  response.body = to_text(body);
  return response;
}

}  // namespace sluice::ingest
