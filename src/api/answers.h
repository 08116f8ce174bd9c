#pragma once
// Answers and bodies as every handler writes and reads them.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "api/handlers.h"
#include "api/query.h"
#include "base/result.h"
#include "http/error_answer.h"

namespace sluice::api {

http::Response json_response(int status, const nlohmann::ordered_json& body);
http::Response no_content();

// For an Error that crossed a folder's border.
http::Response refused(const Error& error);
http::Response no_such_organisation(OrganisationId id);
// 401, with the challenge that RFC 7235 wants.
http::Response unauthorized(std::string_view message);

// InvalidArgument: no JSON.
Result<nlohmann::json> parse_body(const Request& request);
http::Response malformed(const Error& error);  // what parse_body() found
// Of a call that takes none; nullopt: it is empty or {}.
std::optional<http::Response> refuse_body(const Request& request);

// Lists that are ordered by an id, page by page.
struct Page {
  static constexpr std::size_t kLimitMax = 1000;
  std::size_t limit = 100;
  std::optional<std::uint64_t> after;  // the last id of the page before
};
// InvalidArgument: `limit` or `after` makes no sense.
Result<Page> parse_page(const Query& query);
// `items` are at most page.limit + 1: one more says that there is a next page. Each has an `id`.
http::Response page_response(const Page& page, nlohmann::ordered_json items);

}  // namespace sluice::api
