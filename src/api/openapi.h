#pragma once
// The API's description, OpenAPI 3.1: openapi.json with the paths of the route table, the settings
// of the connection types and the fields of filters.

#include <string>
#include <string_view>

#include "api/stream_json.h"

namespace sluice::api {

// `public_url`: as in Settings.
std::string openapi_document(const ConnectorTable& connectors, std::string_view public_url);

}  // namespace sluice::api
