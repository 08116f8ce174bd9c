// Looking at what is stored: what RecordCalls do, for the organisation that a request is about.

#include <nlohmann/json.hpp>

#include "api/handlers.h"
#include "api/json_text.h"

namespace sluice::api {

using http::Response;

Awaitable<Handlers::Or<OrganisationId>> Handlers::existing_organisation_of(
    const Request& request) const {
  Or<OrganisationId> named = named_organisation_of(request);
  if (std::holds_alternative<Response>(named)) co_return named;
  auto look = [this, id = std::get<OrganisationId>(named), identity = request.identity] {
    return find_organisation(id, identity);
  };
  Or<catalog::Organisation> found = co_await with_.catalog_pool.run(std::move(look));
  if (auto* response = std::get_if<Response>(&found)) co_return std::move(*response);
  co_return named;
}

Handlers::Answer Handlers::browse_records(Request request) {
  Or<OrganisationId> organisation = co_await existing_organisation_of(request);
  if (auto* response = std::get_if<Response>(&organisation)) co_return std::move(*response);
  co_return co_await records_.browse(std::get<OrganisationId>(organisation),
                                     std::move(request.query));
}

Handlers::Answer Handlers::preview_filters(Request request) {
  const Result<nlohmann::json> body = parse_json(request.body.view(), DuplicateKeys::LastCounts);
  if (!body) {
    co_return http::error_response(http::ErrorToken::MalformedBody,
                                   "body: " + body.error().message);
  }
  Or<OrganisationId> organisation = co_await existing_organisation_of(request);
  if (auto* response = std::get_if<Response>(&organisation)) co_return std::move(*response);
  co_return co_await records_.preview(std::get<OrganisationId>(organisation), *body);
}

Handlers::LiveAnswer Handlers::watch_records(Request request) {
  Or<OrganisationId> organisation = co_await existing_organisation_of(request);
  if (auto* response = std::get_if<Response>(&organisation)) co_return std::move(*response);
  co_return records_.watch(std::get<OrganisationId>(organisation), request.query,
                           request.last_event_id);
}

}  // namespace sluice::api
