// What became of a stream's deliveries.

#include <nlohmann/json.hpp>

#include "api/answers.h"
#include "api/attempt_json.h"
#include "api/handlers.h"

namespace sluice::api {

using http::ErrorToken;
using http::Response;
using nlohmann::ordered_json;

Handlers::Answer Handlers::list_attempts(Request request) {
  const Result<Page> page = parse_page(request.query);
  if (!page) co_return http::error_response(ErrorToken::BadQuery, page.error().message);
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const StreamId id = std::get<FoundStream>(loaded).stream.id;
  auto read = [this, id, page = *page]() -> Response {
    const auto found = with_.attempts.list(id, page.after, static_cast<std::uint32_t>(page.limit));
    if (!found) return refused(found.error());
    ordered_json items = ordered_json::array();
    for (const auto& [number, attempt] : found->attempts) items.push_back(attempt_json(attempt));
    ordered_json next;
    if (found->more) next = std::to_string(found->attempts.back().first);
    return json_response(200, {{"items", std::move(items)}, {"next", std::move(next)}});
  };
  co_return co_await with_.catalog_pool.run(std::move(read));
}

}  // namespace sluice::api
