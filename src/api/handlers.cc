#include "api/handlers.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "api/answers.h"
#include "api/destination_claims.h"
#include "api/docs.h"
#include "api/openapi.h"
#include "base/logging.h"
#include "connectors/inspector/store.h"
#include "dispatch/delivery_settings.h"
#include "filters/filter.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::ordered_json;

constexpr std::size_t kTestsEach = 2;  // of an organisation: each may wait for its time-out
constexpr std::size_t kTestsMax = 64;

// What its check could not prove, where there is something.
void add_unproven(ordered_json& stream, const connectors::ConnectorDescriptor& connector) {
  const auto schema = nlohmann::json::parse(connector.schema_json);
  if (schema.contains("unproven")) stream["unproven"] = schema.at("unproven");
}

Response no_such_stream(StreamId id) {
  return http::error_response(ErrorToken::NotFound,
                              fmt::format("stream {} does not exist", id.value()));
}

}  // namespace

Handlers::Handlers(const Settings& settings, const Dependencies& dependencies,
                   const Signing& signing)
    : settings_(settings),
      with_(dependencies),
      signing_(signing),
      document_(openapi_document(dependencies.connectors, settings.public_url)),
      records_(settings_, with_),
      tests_(kTestsEach, kTestsMax,
             dependencies.metrics.gauge("sluice_api_tests", "Tests of streams under way.")) {}

// --- whose streams

Handlers::Or<std::optional<OrganisationId>> Handlers::organisation_of(const Request& request) {
  const std::optional<std::string_view> named = request.query.find("organisation_id");
  const std::optional<OrganisationId> own = request.identity.organisation;
  if (!named) return own;
  std::uint64_t id = 0;
  const char* end = named->data() + named->size();
  const auto [stop, error] = std::from_chars(named->data(), end, id);
  if (error != std::errc() || stop != end || id > catalog::kIdMax) {
    return http::error_response(ErrorToken::BadQuery, "query: organisation_id is not an id");
  }
  const OrganisationId organisation{id};
  // Another organisation does not exist for anybody but the operator.
  if (request.identity.role != Role::Operator && own != organisation) {
    return no_such_organisation(organisation);
  }
  return std::optional(organisation);
}

Handlers::Or<OrganisationId> Handlers::named_organisation_of(const Request& request) {
  Or<std::optional<OrganisationId>> organisation = organisation_of(request);
  if (auto* response = std::get_if<Response>(&organisation)) return std::move(*response);
  const auto named = std::get<std::optional<OrganisationId>>(organisation);
  if (named) return *named;
  return http::error_response(
      ErrorToken::BadQuery,
      "query: this token is bound to no organisation, so organisation_id is required");
}

Handlers::Or<catalog::Organisation> Handlers::find_organisation(OrganisationId id,
                                                                const Identity& identity) const {
  const Result<std::optional<catalog::Organisation>> found = with_.catalog.organisation(id);
  if (!found) return refused(found.error());
  if (*found) return **found;
  if (identity.organisation == id) return catalog::Organisation{id, ""};
  return no_such_organisation(id);
}

Handlers::Or<Handlers::FoundStream> Handlers::find_stream(
    std::optional<OrganisationId> organisation, StreamId id) const {
  const Result<std::optional<catalog::Stream>> stream =
      organisation ? with_.catalog.stream(*organisation, id) : with_.catalog.stream(id);
  if (!stream) return refused(stream.error());
  if (!*stream) return no_such_stream(id);
  const auto owner = with_.catalog.organisation((*stream)->organisation);
  if (!owner) return refused(owner.error());
  if (!*owner) return no_such_organisation((*stream)->organisation);
  return FoundStream{**stream, **owner};
}

Awaitable<Handlers::Or<Handlers::FoundStream>> Handlers::load_stream(const Request& request) const {
  Or<std::optional<OrganisationId>> organisation = organisation_of(request);
  if (auto* response = std::get_if<Response>(&organisation)) co_return std::move(*response);
  const auto named = std::get<std::optional<OrganisationId>>(organisation);
  const StreamId id = StreamId{request.id};
  auto look = [this, named, id] { return find_stream(named, id); };
  co_return co_await with_.catalog_pool.run(std::move(look));
}

// --- showing

ordered_json Handlers::show(const FoundStream& found) const {
  return stream_json(found.stream, found.organisation, with_.dispatch.snapshot(found.stream.id),
                     with_.connectors);
}

Response Handlers::stream_response(int status, const FoundStream& found) const {
  return json_response(status, show(found));
}

Handlers::Answer Handlers::list_streams(Request request) {
  Or<OrganisationId> named = named_organisation_of(request);
  if (auto* response = std::get_if<Response>(&named)) co_return std::move(*response);
  using Listed = std::pair<catalog::Organisation, std::vector<catalog::Stream>>;
  auto look = [this, id = std::get<OrganisationId>(named),
               identity = request.identity]() -> Or<Listed> {
    Or<catalog::Organisation> organisation = find_organisation(id, identity);
    if (auto* response = std::get_if<Response>(&organisation)) return std::move(*response);
    Result<std::vector<catalog::Stream>> streams = with_.catalog.streams(id);
    if (!streams) return refused(streams.error());
    return Listed{std::get<catalog::Organisation>(organisation), *std::move(streams)};
  };
  Or<Listed> listed = co_await with_.catalog_pool.run(std::move(look));
  if (auto* response = std::get_if<Response>(&listed)) co_return std::move(*response);
  const auto& [organisation, streams] = std::get<Listed>(listed);
  ordered_json list = ordered_json::array();
  for (const catalog::Stream& stream : streams) list.push_back(show({stream, organisation}));
  co_return json_response(200, list);
}

Handlers::Answer Handlers::show_stream(Request request) {
  Or<FoundStream> found = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&found)) co_return std::move(*response);
  co_return stream_response(200, std::get<FoundStream>(found));
}

Handlers::Answer Handlers::list_statuses(Request) {
  co_return json_response(200, stream_statuses());
}

Handlers::Answer Handlers::list_types(Request) { co_return json_response(200, stream_types()); }

Handlers::Answer Handlers::list_connection_types(Request) {
  co_return json_response(200, connection_types(with_.connectors));
}

Handlers::Answer Handlers::list_filter_fields(Request) {
  co_return json_response(200, filter_fields());
}

// --- creating

// The limit is looked at before the destination is bothered; the insert looks again.
Handlers::Or<catalog::Organisation> Handlers::make_room(OrganisationId id, const Identity& identity,
                                                        const NewStream& draft) const {
  Or<catalog::Organisation> organisation = find_organisation(id, identity);
  const auto* found = std::get_if<catalog::Organisation>(&organisation);
  if (found == nullptr) return organisation;
  const Result<void> registered = with_.catalog.register_organisations(std::span(found, 1));
  if (!registered) return refused(registered.error());
  const Result<std::vector<catalog::Stream>> streams = with_.catalog.streams(id);
  if (!streams) return refused(streams.error());
  const auto open = [](const catalog::Stream& stream) { return !stream.replaced_by; };
  const std::ptrdiff_t count =
      std::ranges::count_if(*streams, open) - (draft.replaces.has_value() ? 1 : 0);
  if (count < static_cast<std::ptrdiff_t>(settings_.streams_max)) return organisation;
  return http::error_response(
      ErrorToken::StreamLimit,
      fmt::format("organisation {} has {} streams already, the most it may have: delete one first",
                  id.value(), count));
}

Handlers::Or<catalog::Stream> Handlers::store_stream(NewStream draft) const {
  catalog::Stream& stream = draft.stream;
  Faults faults;
  const MutexLock lock(claims_);
  if (auto looked = check_claim(with_.catalog, with_.connectors, stream, faults); !looked) {
    return refused(looked.error());
  }
  if (!faults.empty()) return invalid_stream(faults);
  const WallTime now = with_.clock.now();
  if (stream.hand_over) {
    stream.start = stream.hand_over->cursor;
  } else if (draft.stream.historic || draft.start_from) {
    const WallTime from =
        draft.start_from ? *draft.start_from : WallTime{now.ms - settings_.historic_ms_max};
    const Result<Offset> start = with_.log.offset_at(stream.organisation, from);
    if (!start) return refused(start.error());
    stream.start = *start;
  } else {
    stream.start = with_.log.end(stream.organisation);
  }
  Result<catalog::Stream> created = with_.catalog.create_stream(std::move(stream), now);
  if (created) return *std::move(created);
  if (created.error().code == ErrorCode::ResourceExhausted) {
    return http::error_response(ErrorToken::StreamLimit, created.error().message);
  }
  return refused(created.error());
}

Awaitable<Result<void>> Handlers::check_destination(const ParsedDestination& destination,
                                                    const catalog::Stream& stream,
                                                    std::size_t io_thread) const {
  const nlohmann::json settings = nlohmann::json::parse(destination.text);
  const auto delivery = dispatch::parse_delivery(nlohmann::json::parse(stream.delivery));
  const connectors::Destination described{
      .organisation = stream.organisation,
      .stream = stream.id,
      .settings = settings,
      .success_200_only = delivery.has_value() && delivery->success_200_only,
      .kinds = kinds_of(stream.type)};
  const std::unique_ptr<connectors::Connector> connector =
      destination.connector->create(described, with_.connector_contexts[io_thread]);
  const connectors::Deadline deadline =
      with_.clock.steady() + std::chrono::milliseconds(settings_.check_timeout_ms);
  co_return co_await connector->check(deadline);
}

Handlers::Answer Handlers::create_stream(Request request) {
  Or<OrganisationId> named = named_organisation_of(request);
  if (auto* response = std::get_if<Response>(&named)) co_return std::move(*response);
  const Result<bool> validate = request.query.boolean("validate", true);
  if (!validate) {
    co_return http::error_response(ErrorToken::BadQuery, validate.error().message);
  }
  const Result<nlohmann::json> body = parse_body(request);
  if (!body) co_return malformed(body.error());
  Faults faults;
  std::optional<NewStream> draft =
      parse_new_stream(*body, with_.connectors, with_.clock.now(), faults);
  if (!draft) co_return invalid_stream(faults);

  draft->stream.organisation = std::get<OrganisationId>(named);
  auto look = [this, id = draft->stream.organisation, identity = request.identity, &draft] {
    return make_room(id, identity, *draft);
  };
  Or<catalog::Organisation> organisation = co_await with_.catalog_pool.run(std::move(look));
  if (auto* response = std::get_if<Response>(&organisation)) co_return std::move(*response);

  if (*validate) {
    const ParsedDestination destination{draft->stream.destination, draft->connector};
    const Result<void> checked =
        co_await check_destination(destination, draft->stream, request.io_thread);
    if (!checked) {
      co_return http::error_response(ErrorToken::DestinationCheckFailed,
                                     "destination: " + checked.error().message);
    }
  }
  const connectors::ConnectorDescriptor& connector = *draft->connector;
  const std::optional<StreamId> replaces = draft->replaces;
  Or<catalog::Stream> stored = co_await store_new(*std::move(draft));
  if (auto* response = std::get_if<Response>(&stored)) co_return std::move(*response);
  const FoundStream found{std::get<catalog::Stream>(std::move(stored)),
                          std::get<catalog::Organisation>(std::move(organisation))};
  with_.dispatch.add(found.stream);
  if (replaces) co_await forget_closed(found.organisation);
  logging::info("stream created", {{"stream", found.stream.id.value()},
                                   {"organisation", found.organisation.id.value()},
                                   {"subject", request.identity.subject}});
  ordered_json shown = show(found);
  if (*validate) add_unproven(shown, connector);
  Response response = json_response(201, shown);
  response.headers.emplace_back(
      "Location",
      fmt::format("{}/api/v2/data_stream/{}", settings_.public_url, found.stream.id.value()));
  co_return response;
}

// --- changing

Awaitable<std::optional<Response>> Handlers::command(
    StreamId stream, std::optional<dispatch::Command> command) const {
  if (!command) co_return std::nullopt;
  const Result<dispatch::StreamSnapshot> done = co_await with_.dispatch.command(stream, *command);
  if (!done) co_return refused(done.error());
  co_return std::nullopt;
}

Awaitable<std::optional<Response>> Handlers::store_change(const catalog::StreamChange& change,
                                                          const catalog::Stream& stream) const {
  Faults faults;
  auto store = [this, &change, &stream, &faults]() -> Result<catalog::Stream> {
    const MutexLock lock(claims_);
    catalog::Stream changed = stream;
    if (change.destination) changed.destination = *change.destination;
    auto looked = check_claim(with_.catalog, with_.connectors, changed, faults);
    if (!looked) return looked.error();
    if (!faults.empty()) return changed;
    return with_.catalog.change_stream(stream.organisation, stream.id, change, with_.clock.now());
  };
  const Result<catalog::Stream> stored = co_await with_.catalog_pool.run(std::move(store));
  if (!faults.empty()) co_return invalid_change(faults);
  if (!stored) co_return refused(stored.error());
  const Result<dispatch::StreamSnapshot> taken = co_await with_.dispatch.change(*stored);
  if (!taken) co_return refused(taken.error());
  co_return std::nullopt;
}

// A command that may be refused comes first, and then nothing changes. Resuming comes last, so that
// nothing is sent under the old settings; a stream in Error, where it would be refused, goes on by
// itself when its destination changes.
Awaitable<std::optional<Response>> Handlers::apply(const StreamPatch& patch,
                                                   FoundStream& found) const {
  const StreamId id = found.stream.id;
  std::optional<dispatch::Command> first = patch.command;
  std::optional<dispatch::Command> last;
  if (patch.changes && first == dispatch::Command::Resume) {
    const std::optional<dispatch::StreamSnapshot> now = with_.dispatch.snapshot(id);
    const bool in_error = now && now->status == catalog::StreamStatus::Error;
    if (in_error && patch.destination) first.reset();
    if (!in_error) std::swap(first, last);
  }
  std::optional<Response> refusal = co_await command(id, first);
  if (!refusal && patch.changes) refusal = co_await store_change(patch.change, found.stream);
  if (!refusal) refusal = co_await command(id, last);
  co_return refusal;
}

// A command or a change has moved it since it was read.
Awaitable<Response> Handlers::show_anew(int status, FoundStream found) const {
  auto look = [this, &found] { return find_stream(found.organisation.id, found.stream.id); };
  Or<FoundStream> anew = co_await with_.catalog_pool.run(std::move(look));
  if (auto* response = std::get_if<Response>(&anew)) co_return std::move(*response);
  co_return stream_response(status, std::get<FoundStream>(anew));
}

Handlers::Answer Handlers::change_stream(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  FoundStream& found = std::get<FoundStream>(loaded);
  const Result<bool> validate = request.query.boolean("validate", true);
  if (!validate) {
    co_return http::error_response(ErrorToken::BadQuery, validate.error().message);
  }
  const Result<nlohmann::json> body = parse_body(request);
  if (!body) co_return malformed(body.error());
  if (auto closed = refuse_closed(found)) co_return *std::move(closed);
  Faults faults;
  const std::optional<StreamPatch> patch = parse_stream_patch(
      *body, found.stream, show(found), with_.connectors, with_.clock.now(), faults);
  if (!patch) co_return invalid_change(faults);

  if (patch->destination && *validate) {
    const Result<void> checked =
        co_await check_destination(*patch->destination, found.stream, request.io_thread);
    if (!checked) {
      co_return refused_change(ErrorToken::DestinationCheckFailed,
                               "destination: " + checked.error().message);
    }
  }
  std::optional<Response> refusal = co_await apply(*patch, found);
  if (refusal) co_return *std::move(refusal);
  logging::info("stream changed", {{"stream", found.stream.id.value()},
                                   {"organisation", found.organisation.id.value()},
                                   {"subject", request.identity.subject}});
  co_return co_await show_anew(202, std::move(found));
}

Handlers::Answer Handlers::restart_stream(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  if (auto refused_body = refuse_body(request)) co_return *std::move(refused_body);
  FoundStream& found = std::get<FoundStream>(loaded);
  if (auto closed = refuse_closed(found)) co_return *std::move(closed);
  std::optional<Response> refusal = co_await command(found.stream.id, dispatch::Command::Restart);
  if (refusal) co_return *std::move(refusal);
  co_return co_await show_anew(202, std::move(found));
}

Awaitable<std::optional<Response>> Handlers::erase(const FoundStream& found) const {
  auto erase = [this, &found] {
    return with_.catalog.delete_stream(found.organisation.id, found.stream.id);
  };
  const Result<void> deleted = co_await with_.catalog_pool.run(std::move(erase));
  if (!deleted) co_return refused(deleted.error());
  // Deleted is what the catalog says, whatever dispatch can still clear away: a start passes over
  // what it finds of streams without a catalog row, and forgets their dead letters and attempts.
  const Result<void> removed = co_await with_.dispatch.remove(found.stream.id);
  if (!removed) {
    logging::error("stream deleted, but not cleared away",
                   {{"stream", found.stream.id.value()}, {"error", removed.error().message}});
  }
  auto forget = [this, &found] { return with_.attempts.forget(found.stream.id); };
  const Result<void> forgotten = co_await with_.catalog_pool.run(std::move(forget));
  if (!forgotten) {  // the next start forgets it
    logging::warn("the attempts of a deleted stream are still there",
                  {{"stream", found.stream.id.value()}, {"error", forgotten.error().message}});
  }
  if (auto* inspector = with_.connector_contexts.front().inspector) {
    inspector->forget(found.stream.id);
  }
  co_return std::nullopt;
}

Handlers::Answer Handlers::delete_stream(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const FoundStream& found = std::get<FoundStream>(loaded);
  const auto snapshot = with_.dispatch.snapshot(found.stream.id);
  if (snapshot && snapshot->handing_over) {
    co_return http::error_response(ErrorToken::Conflict,
                                   "another stream is about to take its place: try again");
  }
  std::optional<Response> refusal = co_await erase(found);
  if (refusal) co_return *std::move(refusal);
  logging::info("stream deleted", {{"stream", found.stream.id.value()},
                                   {"organisation", found.organisation.id.value()},
                                   {"subject", request.identity.subject}});
  co_return Response{.status = 202, .content_type = "", .body = ""};
}

Handlers::Answer Handlers::refuse_role(Request request) {
  Or<FoundStream> found = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&found)) co_return std::move(*response);
  co_return http::error_response(
      ErrorToken::Forbidden,
      fmt::format("the role {} may not make this call", role_name(request.identity.role)));
}

// --- the server itself

Handlers::Answer Handlers::health(Request) {
  co_return json_response(200, {{"status", "ok"}, {"version", SLUICE_VERSION}});
}

Handlers::Answer Handlers::metrics(Request) {
  co_return Response{.status = 200,
                     .content_type = "text/plain; version=0.0.4; charset=utf-8",
                     .body = with_.metrics.prometheus_text()};
}

Handlers::Answer Handlers::api_document(Request) { co_return Response{.body = document_}; }

Handlers::Answer Handlers::docs_page(Request) { co_return docs_response(DocsFile::Page); }
Handlers::Answer Handlers::docs_start(Request) { co_return docs_response(DocsFile::Start); }
Handlers::Answer Handlers::docs_viewer(Request) { co_return docs_response(DocsFile::Viewer); }
Handlers::Answer Handlers::docs_style(Request) { co_return docs_response(DocsFile::Style); }

}  // namespace sluice::api
