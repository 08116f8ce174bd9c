// What ingest rejected: GET and DELETE /api/v2/quarantine.

#include "catalog/quarantine.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <simdjson.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "api/handlers.h"
#include "api/json_text.h"
#include "api/stream_json.h"
#include "base/logging.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::ordered_json;

constexpr std::uint32_t kLimit = 100;
constexpr std::uint32_t kLimitMax = 1000;

// The query's number `name`, from `min` to `max`; absent: nullopt.
Result<std::optional<std::uint64_t>> number(const Query& query, std::string_view name,
                                            std::uint64_t min, std::uint64_t max) {
  const std::optional<std::string_view> text = query.find(name);
  if (!text) return std::optional<std::uint64_t>();
  std::uint64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stop != end || value < min || value > max) {
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("query: {} must be a number from {} to {}", name, min, max)};
  }
  return std::optional(value);
}

std::string base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
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

Response unusable(const Error& error) {
  return http::error_response(http::token_for(error.code), error.message);
}

}  // namespace

Handlers::Answer Handlers::list_quarantine(Request request) {
  const auto limit = number(request.query, "limit", 1, kLimitMax);
  if (!limit) co_return http::error_response(ErrorToken::BadQuery, limit.error().message);
  const auto before = number(request.query, "after", 0, catalog::kIdMax);
  if (!before) co_return http::error_response(ErrorToken::BadQuery, before.error().message);
  auto look = [this, before = *before, limit = limit->value_or(kLimit)] {
    return with_.quarantine.list(before, static_cast<std::uint32_t>(limit));
  };
  const Result<catalog::Quarantine::Page> page = co_await with_.catalog_pool.run(std::move(look));
  if (!page) co_return unusable(page.error());
  ordered_json items = ordered_json::array();
  for (const catalog::QuarantinedRecord& record : page->records) items.push_back(item(record));
  ordered_json body = {{"items", std::move(items)}, {"next", nullptr}};
  if (page->more) body["next"] = fmt::format("{}", page->records.back().id);
  co_return Response{.status = 200, .body = to_text(body)};
}

Handlers::Answer Handlers::clear_quarantine(Request request) {
  const auto last = number(request.query, "up_to", 0, catalog::kIdMax);
  if (!last) co_return http::error_response(ErrorToken::BadQuery, last.error().message);
  auto clear = [this, last = *last] { return with_.quarantine.clear(last); };
  const Result<std::uint64_t> removed = co_await with_.catalog_pool.run(std::move(clear));
  if (!removed) co_return unusable(removed.error());
  logging::info("quarantine cleared",
                {{"records", *removed}, {"subject", request.identity.subject}});
  co_return Response{.status = 200, .body = to_text(ordered_json{{"deleted", *removed}})};
}

}  // namespace sluice::api
