// What receivers verify dt-asymmetric signatures with.

#include <nlohmann/json.hpp>

#include "api/answers.h"
#include "api/handlers.h"
#include "signing/issuer.h"

namespace sluice::api {
namespace {

// A key that is not known to a receiver makes it look again, however old what it has.
http::Response public_response(const nlohmann::ordered_json& value) {
  http::Response response = json_response(200, value);
  response.headers.emplace_back("Cache-Control", "public, max-age=3600");
  return response;
}

}  // namespace

Handlers::Answer Handlers::signing_discovery(Request) {
  co_return public_response(with_.connector_contexts.front().issuer->discovery());
}

Handlers::Answer Handlers::signing_keys(Request) {
  co_return public_response(with_.connector_contexts.front().issuer->keys());
}

}  // namespace sluice::api
