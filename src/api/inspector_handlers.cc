// The inspector's list: what a stream of the connection type Inspector was delivered.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/answers.h"
#include "api/handlers.h"
#include "api/stream_json.h"
#include "connectors/inspector/store.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::ordered_json;

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
  const Result<Page> page = parse_page(request.query);
  if (!page) co_return http::error_response(ErrorToken::BadQuery, page.error().message);
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
  auto write = [store, id = stream.id, page = *page] {
    ordered_json items = ordered_json::array();
    for (const auto& delivery : store->newest(id, page.after, page.limit + 1)) {
      items.push_back(show_delivery(*delivery));
    }
    return page_response(page, std::move(items));
  };
  co_return co_await with_.catalog_pool.run(std::move(write));
}

}  // namespace sluice::api
