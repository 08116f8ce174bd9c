#pragma once
// The API's description, OpenAPI 3.1: openapi.json with the paths of the route table, the settings
// of the connection types and the fields of filters.

#include <string>

#include "api/stream_json.h"

namespace sluice::api {

std::string openapi_document(const ConnectorTable& connectors);

}  // namespace sluice::api
