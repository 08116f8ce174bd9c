#include "api/docs.h"

#ifdef SLUICE_API_DOCS
#include <array>

#include "api_docs/files.h"
#else
#include "http/error_answer.h"
#endif

namespace sluice::api {

#ifdef SLUICE_API_DOCS

http::Response docs_response(DocsFile file) {
  struct Row {
    std::string_view (*bytes)();
    const char* content_type;
  };
  // In the order of the enumerators.
  constexpr std::array kFiles = {
      Row{api_docs::index_html, "text/html; charset=utf-8"},
      Row{api_docs::start_js, "text/javascript; charset=utf-8"},
      Row{api_docs::swagger_ui_bundle_js, "text/javascript; charset=utf-8"},
      Row{api_docs::swagger_ui_css, "text/css; charset=utf-8"}};
  static_assert(kFiles.size() == static_cast<std::size_t>(DocsFile::Style) + 1);
  const Row& row = kFiles[static_cast<std::size_t>(file)];
  // The viewer draws its icons from data: URLs.
  constexpr const char* kPolicy =
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
      "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
  return {.content_type = row.content_type,
          .body = std::string(row.bytes()),
          .headers = {{"Content-Security-Policy", kPolicy},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cache-Control", "no-cache"}}};
}

#else

http::Response docs_response(DocsFile) {
  return http::error_response(http::ErrorToken::NotFound,
                              "this server was built without its page of the API; "
                              "GET /api/openapi.json has the description");
}

#endif

}  // namespace sluice::api
