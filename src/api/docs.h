#pragma once
// The interactive page of the API's description, embedded into the program (web/api-docs).

#include <cstdint>

#include "http/server.h"

namespace sluice::api {

enum class DocsFile : std::uint8_t { Page, Start, Viewer, Style };

// With a Content-Security-Policy that lets the page load and call nothing but this server. 404
// where the program was built without the page.
http::Response docs_response(DocsFile file);

}  // namespace sluice::api
