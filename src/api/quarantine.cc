// What ingest rejected: GET and DELETE /api/v2/quarantine.

#include "catalog/quarantine.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "api/answers.h"
#include "api/handlers.h"
#include "api/json_text.h"
#include "api/stream_json.h"
#include "base/base64.h"
#include "base/logging.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::ordered_json;

// The query's `up_to`; absent: nullopt.
Result<std::optional<std::uint64_t>> up_to(const Query& query) {
  const std::optional<std::string_view> text = query.find("up_to");
  if (!text) return std::optional<std::uint64_t>();
  std::uint64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stop != end || value > catalog::kIdMax) {
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("query: up_to must be a number from 0 to {}", catalog::kIdMax)};
  }
  return std::optional(value);
}

ordered_json item(const catalog::QuarantinedRecord& record) {
  ordered_json item = {{"id", record.id},
                       {"time", rfc3339(record.time)},
                       {"kind", path_name(record.kind)},
                       {"organisation_id", nullptr},
                       {"subject", record.subject},
                       {"reason", record.reason}};
  if (record.organisation) item["organisation_id"] = record.organisation->value();
  if (simdjson::validate_utf8(record.bytes.data(), record.bytes.size())) {
    item["record"] = record.bytes;
  } else {
    item["record_base64"] = base64(record.bytes);
  }
  return item;
}

}  // namespace

Handlers::Answer Handlers::list_quarantine(Request request) {
  const Result<Page> wanted = parse_page(request.query);
  if (!wanted) co_return http::error_response(ErrorToken::BadQuery, wanted.error().message);
  auto look = [this, wanted = *wanted] {
    return with_.quarantine.list(wanted.after, static_cast<std::uint32_t>(wanted.limit));
  };
  const Result<catalog::Quarantine::Page> page = co_await with_.catalog_pool.run(std::move(look));
  if (!page) co_return refused(page.error());
  ordered_json items = ordered_json::array();
  for (const catalog::QuarantinedRecord& record : page->records) items.push_back(item(record));
  ordered_json body = {{"items", std::move(items)}, {"next", nullptr}};
  if (page->more) body["next"] = fmt::format("{}", page->records.back().id);
  co_return Response{.status = 200, .body = to_text(body)};
}

Handlers::Answer Handlers::clear_quarantine(Request request) {
  const auto last = up_to(request.query);
  if (!last) co_return http::error_response(ErrorToken::BadQuery, last.error().message);
  auto clear = [this, last = *last] { return with_.quarantine.clear(last); };
  const Result<std::uint64_t> removed = co_await with_.catalog_pool.run(std::move(clear));
  if (!removed) co_return refused(removed.error());
  logging::info("quarantine cleared",
                {{"records", *removed}, {"subject", request.identity.subject}});
  co_return Response{.status = 200, .body = to_text(ordered_json{{"deleted", *removed}})};
}

}  // namespace sluice::api
