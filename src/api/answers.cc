#include "api/answers.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "api/fault.h"
#include "api/json_text.h"
#include "api/stream_fields.h"

namespace sluice::api {
namespace {

std::optional<std::uint64_t> number_of(std::string_view text, std::uint64_t max) {
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size() || number > max) {
    return std::nullopt;
  }
  return number;
}

}  // namespace

http::Response json_response(int status, const nlohmann::ordered_json& body) {
  return {.status = status, .body = to_text(body)};
}

http::Response no_content() { return {.status = 204, .content_type = "", .body = ""}; }

http::Response refused(const Error& error) {
  return http::error_response(http::token_for(error.code), error.message);
}

http::Response no_such_organisation(OrganisationId id) {
  return http::error_response(http::ErrorToken::NotFound,
                              fmt::format("organisation {} does not exist", id.value()));
}

http::Response unauthorized(std::string_view message) {
  http::Response response = http::error_response(http::ErrorToken::Unauthorized, message);
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

Result<nlohmann::json> parse_body(const Request& request) {
  if (request.body.size() == 0) {
    return Error{ErrorCode::InvalidArgument, "empty; a JSON object is expected"};
  }
  return parse_json(request.body.view(), DuplicateKeys::LastCounts);
}

http::Response malformed(const Error& error) {
  return http::error_response(http::ErrorToken::MalformedBody, "body: " + error.message);
}

std::optional<http::Response> refuse_body(const Request& request) {
  if (request.body.size() == 0) return std::nullopt;
  const Result<nlohmann::json> body = parse_body(request);
  if (!body) return malformed(body.error());
  Faults faults;
  if (body->is_object()) {
    refuse_unknown(*body, "", {}, faults);
  } else {
    faults.add("body", "must be empty or {}");
  }
  if (faults.empty()) return std::nullopt;
  return invalid_stream(faults);
}

Result<Page> parse_page(const Query& query) {
  Page page;
  if (const auto text = query.find("limit")) {
    const std::optional<std::uint64_t> limit = number_of(*text, Page::kLimitMax);
    if (!limit || *limit == 0) {
      return Error{ErrorCode::InvalidArgument,
                   fmt::format("query: limit must be from 1 to {}", Page::kLimitMax)};
    }
    page.limit = *limit;
  }
  if (const auto text = query.find("after")) {
    page.after = number_of(*text, catalog::kIdMax);
    if (!page.after) {
      return Error{ErrorCode::InvalidArgument,
                   "query: after must be the next of the page before, as it came"};
    }
  }
  return page;
}

http::Response page_response(const Page& page, nlohmann::ordered_json items) {
  nlohmann::ordered_json next;
  if (items.size() > page.limit) {
    items.erase(page.limit);
    next = to_text(items.back().at("id"));
  }
  return json_response(200, {{"items", std::move(items)}, {"next", std::move(next)}});
}

}  // namespace sluice::api
