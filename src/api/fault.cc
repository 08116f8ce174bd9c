#include "api/fault.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/json_text.h"

namespace sluice::api {
namespace {

constexpr std::size_t kInMessageMax = 5;

nlohmann::ordered_json triple(const std::string& message, http::ErrorToken token) {
  const http::ErrorTokenInfo& row = http::info(token);
  return {{"error_code", row.code}, {"error_token", row.token}, {"message", message}};
}

std::string sentence(const Fault& fault) { return fault.property + ": " + fault.message; }

http::Response answer(const nlohmann::ordered_json& body) {
  return {.status = 422, .body = to_text(body)};
}

http::Response one_triple(http::ErrorToken token, const Faults& faults) {
  std::string message;
  const std::size_t named = std::min(faults.size(), kInMessageMax);
  for (std::size_t i = 0; i < named; ++i) {
    if (i > 0) message += "; ";
    message += sentence(faults.list()[i]);
  }
  if (faults.size() > named) message += "; and " + std::to_string(faults.size() - named) + " more";
  nlohmann::ordered_json body = triple(message, token);
  nlohmann::ordered_json& errors = body["errors"] = nlohmann::ordered_json::array();
  for (const Fault& fault : faults.list()) {
    errors.push_back({{"property", fault.property}, {"message", fault.message}});
  }
  return answer(body);
}

http::Response triples(http::ErrorToken token, const Faults& faults) {
  nlohmann::ordered_json body = nlohmann::ordered_json::array();
  for (const Fault& fault : faults.list()) body.push_back(triple(sentence(fault), token));
  return answer(body);
}

}  // namespace

void Faults::add(std::string_view property, std::string_view message) {
  if (list_.size() == kMax) return;
  std::string name(property.substr(0, kNameBytesMax));
  if (property.size() > kNameBytesMax) name += "...";
  list_.push_back({std::move(name), std::string(message)});
}

http::Response invalid_stream(const Faults& faults) {
  return one_triple(http::ErrorToken::InvalidStream, faults);
}
http::Response invalid_change(const Faults& faults) {
  return triples(http::ErrorToken::InvalidStream, faults);
}
http::Response invalid_request(const Faults& faults) {
  return one_triple(http::ErrorToken::InvalidRequest, faults);
}
http::Response invalid_request_change(const Faults& faults) {
  return triples(http::ErrorToken::InvalidRequest, faults);
}

http::Response refused_change(http::ErrorToken token, const std::string& message) {
  return answer(nlohmann::ordered_json::array({triple(message, token)}));
}

}  // namespace sluice::api
