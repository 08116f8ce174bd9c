// The inspector's list: what a stream of the connection type Inspector was delivered.

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "api/handlers.h"
#include "api/json_text.h"
#include "api/stream_json.h"
#include "connectors/inspector/store.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::ordered_json;

constexpr std::uint64_t kLimitMax = 1000;
constexpr std::uint64_t kLimitDefault = 100;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

ordered_json show_delivery(const connectors::inspector::KeptDelivery& delivery) {
  ordered_json headers = ordered_json::object();
  for (const auto& [name, value] : delivery.headers) headers[name] = value;
  return {{"id", delivery.id},
          {"time", rfc3339(delivery.time)},
          {"webhook_id", delivery.webhook_id},
          {"first_offset", delivery.first.value()},
          {"last_offset", delivery.last.value()},
          {"records", delivery.records},
          {"bytes", delivery.body_bytes},
          {"headers", std::move(headers)},
          {"body", delivery.body}};
}

}  // namespace

Handlers::Answer Handlers::list_inspector(Request request) {
  std::uint64_t limit = kLimitDefault;
  if (const auto text = request.query.find("limit")) {
    limit = number(*text).value_or(0);
    if (limit == 0 || limit > kLimitMax) {
      co_return http::error_response(ErrorToken::BadQuery,
                                     fmt::format("query: limit must be from 1 to {}", kLimitMax));
    }
  }
  std::optional<std::uint64_t> after;
  if (const auto text = request.query.find("after")) {
    after = number(*text);
    if (!after) {
      co_return http::error_response(
          ErrorToken::BadQuery, "query: after must be the next of the page before, as it came");
    }
  }
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const catalog::Stream& stream = std::get<FoundStream>(loaded).stream;
  const auto destination = nlohmann::json::parse(stream.destination, nullptr, false);
  if (destination.value("connection_type", "") != "Inspector") {
    co_return http::error_response(
        ErrorToken::NotFound,
        fmt::format("stream {} has no inspector: its destination is {}", stream.id.value(),
                    destination.value("connection_type", "")));
  }
  const auto* store = with_.connector_contexts.front().inspector;
  // A page is megabytes of text at most: not on the I/O thread.
  auto write = [store, id = stream.id, after, limit]() -> Response {
    auto kept = store->newest(id, after, limit + 1);
    ordered_json next;
    if (kept.size() > limit) {
      kept.pop_back();
      next = std::to_string(kept.back()->id);
    }
    ordered_json items = ordered_json::array();
    for (const auto& delivery : kept) items.push_back(show_delivery(*delivery));
    return {.body = to_text(ordered_json{{"items", std::move(items)}, {"next", std::move(next)}})};
  };
  co_return co_await with_.catalog_pool.run(std::move(write));
}

}  // namespace sluice::api
