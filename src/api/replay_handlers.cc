// Sending again: parts of the log, and dead letters.

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "api/answers.h"
#include "api/handlers.h"
#include "api/json_text.h"
#include "api/record_scan.h"
#include "api/stream_fields.h"
#include "api/stream_json.h"
#include "base/logging.h"
#include "catalog/under_way.h"

namespace sluice::api {
namespace {

using catalog::Replay;
using catalog::ReplayState;
using http::ErrorToken;
using http::Response;
using nlohmann::json;
using nlohmann::ordered_json;

std::string_view state_name(ReplayState state, bool waits) {
  switch (state) {
    case ReplayState::Running: return waits ? "waiting" : "running";
    case ReplayState::Done: return "done";
    case ReplayState::Cancelled: return "cancelled";
    case ReplayState::Failed: return "failed";
  }
  return "failed";
}

ordered_json replay_json(const Replay& replay, bool waits) {
  // An empty range shows no last record.
  const bool any = replay.from < replay.to;
  return {{"id", replay.id.value()},
          {"state", state_name(replay.state, waits)},
          {"source", replay.of_dead_letters ? "dead_letters" : "log"},
          {"from", any ? ordered_json(replay.from.value()) : ordered_json()},
          {"to", any ? ordered_json(replay.to.value() - 1) : ordered_json()},
          {"total", replay.total ? ordered_json(*replay.total) : ordered_json()},
          {"sent", replay.sent},
          {"parked", replay.parked},
          {"error", replay.error.empty() ? ordered_json() : ordered_json(replay.error)},
          {"created", rfc3339(replay.created)}};
}

// As far as it has come.
ordered_json shown(Replay replay, const dispatch::Dispatch& dispatch) {
  const auto progress =
      replay.state == ReplayState::Running ? dispatch.replay_progress(replay.stream) : std::nullopt;
  if (!progress || progress->id != replay.id) return replay_json(replay, false);
  replay.sent = progress->sent;
  replay.parked = progress->parked;
  replay.total = progress->total;
  replay.error = progress->error;
  return replay_json(replay, progress->waits);
}

struct ReplayBody {
  Place from;
  Place to;
  std::string filters;  // "": the stream's
  std::shared_ptr<const filters::Filter> filter;
  bool dry_run = false;
};

std::optional<Place> required_place(const json& body, const char* name, Faults& faults) {
  const std::optional<Place> place = place_of(body.value(name, json()));
  if (!place) faults.add(name, "must be an offset or a time like 2026-11-21T20:00:00Z");
  return place;
}

// Nullopt: a fault was added.
std::optional<ReplayBody> parse_replay(const json& body, const catalog::Stream& stream,
                                       Faults& faults) {
  if (!body.is_object()) {
    faults.add("body", "must be an object");
    return std::nullopt;
  }
  constexpr std::array<std::string_view, 4> kKnown = {"from", "to", "filters", "dry_run"};
  refuse_unknown(body, "", kKnown, faults);
  const auto from = required_place(body, "from", faults);
  const auto to = required_place(body, "to", faults);
  if (from && to && from->index() == to->index() && *to < *from) {
    faults.add("to", "must not lie before from");
  }
  ReplayBody replay;
  if (const json* const dry_run = find(body, "dry_run")) {
    if (!dry_run->is_boolean()) faults.add("dry_run", "must be true or false");
    replay.dry_run = dry_run->is_boolean() && dry_run->get<bool>();
  }
  const json* const filters = find(body, "filters");
  if (filters != nullptr) replay.filters = to_text(*filters);
  auto compiled = filters::Filter::compile(
      filters != nullptr ? *filters : json::parse(stream.filters), kinds_of(stream.type));
  if (const auto* found = std::get_if<std::vector<filters::Fault>>(&compiled)) {
    for (const filters::Fault& fault : *found) faults.add(fault.clause, fault.message);
  }
  if (!faults.empty()) return std::nullopt;
  replay.filter = std::get<std::shared_ptr<const filters::Filter>>(std::move(compiled));
  replay.from = *from;
  replay.to = *to;
  return replay;
}

// Nullopt: all; else a fault may have been added.
std::optional<std::vector<Offset>> parse_offsets(const json& body, Faults& faults) {
  if (!body.is_object()) {
    faults.add("body", "must be an object");
    return std::nullopt;
  }
  constexpr std::array<std::string_view, 1> kKnown = {"offsets"};
  refuse_unknown(body, "", kKnown, faults);
  const json* const list = find(body, "offsets");
  if (list == nullptr) return std::nullopt;
  std::vector<Offset> offsets;
  bool good = list->is_array() && !list->empty();
  for (auto each = list->begin(); good && each != list->end(); ++each) {
    const std::optional<Place> place = each->is_number() ? place_of(*each) : std::nullopt;
    good = place.has_value();
    if (good) offsets.push_back(std::get<Offset>(*place));
  }
  if (!good) {
    faults.add("offsets",
               "must list the offset of one dead letter at least; leave it out to redrive all");
  }
  return offsets;
}

Response no_such_replay(std::uint64_t id) {
  return http::error_response(ErrorToken::NotFound,
                              "replay " + std::to_string(id) + " of the stream does not exist");
}

}  // namespace

// What cannot begin has never been.
Awaitable<Handlers::Or<Replay>> Handlers::begin_replay(const catalog::Stream& stream,
                                                       Replay replay) const {
  const Result<void> begun = co_await with_.dispatch.replay(stream, replay);
  if (begun) co_return replay;
  replay.state = ReplayState::Cancelled;
  replay.error = begun.error().message;
  auto end = [this, replay] { return with_.replays.update(replay); };
  const Result<void> ended = co_await with_.catalog_pool.run(std::move(end));
  if (!ended) {
    logging::warn("a replay that could not begin is still in the catalog",
                  {{"replay", replay.id.value()}, {"error", ended.error().message}});
  }
  co_return refused(begun.error());
}

Handlers::Answer Handlers::start_replay(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const FoundStream& found = std::get<FoundStream>(loaded);
  if (auto closed = refuse_closed(found)) co_return *std::move(closed);
  const Result<json> body = parse_body(request);
  if (!body) co_return malformed(body.error());
  Faults faults;
  const std::optional<ReplayBody> wanted = parse_replay(*body, found.stream, faults);
  if (!wanted) co_return invalid_request(faults);
  const auto snapshot = with_.dispatch.snapshot(found.stream.id);
  if (!snapshot || snapshot->status == catalog::StreamStatus::Disabled) {
    co_return http::error_response(ErrorToken::Conflict,
                                   "the stream is disabled: set its status to 1 first");
  }
  ScanRange range{found.organisation.id, kinds_of(found.stream.type), {}, {}};
  auto locate = [this, &wanted, &range, cursor = snapshot->next_offset]() -> Result<void> {
    const Result<Offset> from = offset_of(wanted->from, range.organisation, with_.log);
    if (!from) return from.error();
    const Result<Offset> to = offset_behind(wanted->to, range.organisation, with_.log);
    if (!to) return to.error();
    range.to = std::min(*to, cursor);
    range.from = std::min(*from, range.to);
    return {};
  };
  const Result<void> located = co_await with_.catalog_pool.run(std::move(locate));
  if (!located) co_return refused(located.error());
  if (wanted->dry_run) co_return co_await records_.count(range, wanted->filter);

  const bool any = range.from < range.to;
  auto create = [this, replay = Replay{.stream = found.stream.id,
                                       .state = any ? ReplayState::Running : ReplayState::Done,
                                       .from = range.from,
                                       .to = range.to,
                                       .filters = wanted->filters,
                                       .total = any ? std::nullopt : std::optional(0)}] {
    return with_.replays.create(replay, with_.clock.now());
  };
  const Result<Replay> created = co_await with_.catalog_pool.run(std::move(create));
  if (!created) co_return refused(created.error());
  if (any) {
    const Or<Replay> begun = co_await begin_replay(found.stream, *created);
    if (const auto* response = std::get_if<Response>(&begun)) co_return *response;
  }
  logging::info("replay begun", {{"stream", found.stream.id.value()},
                                 {"replay", created->id.value()},
                                 {"subject", request.identity.subject}});
  co_return json_response(202, shown(*created, with_.dispatch));
}

Handlers::Answer Handlers::redrive_dead_letters(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const FoundStream& found = std::get<FoundStream>(loaded);
  if (auto closed = refuse_closed(found)) co_return *std::move(closed);
  const Result<json> body = request.body.size() == 0 ? json::object() : parse_body(request);
  if (!body) co_return malformed(body.error());
  Faults faults;
  const auto offsets = parse_offsets(*body, faults);
  if (!faults.empty()) co_return invalid_request(faults);
  const auto snapshot = with_.dispatch.snapshot(found.stream.id);
  if (!snapshot || snapshot->status == catalog::StreamStatus::Disabled) {
    co_return http::error_response(ErrorToken::Conflict,
                                   "the stream is disabled: set its status to 1 first");
  }
  if (snapshot->dead_letters == 0 && !offsets) {
    co_return json_response(202, {{"id", nullptr}, {"dead_letters", 0}});
  }
  auto create = [this, &offsets, stream = found.stream.id] {
    return catalog::create_redrive(with_.replays, with_.dead_letters, stream, offsets,
                                   with_.clock.now());
  };
  const Result<Replay> created = co_await with_.catalog_pool.run(std::move(create));
  if (!created && created.error().code == ErrorCode::NotFound) {
    faults.add("offsets", created.error().message);
    co_return invalid_request(faults);
  }
  if (!created) co_return refused(created.error());
  if (created->state == ReplayState::Running) {
    const Or<Replay> begun = co_await begin_replay(found.stream, *created);
    if (const auto* response = std::get_if<Response>(&begun)) co_return *response;
  }
  logging::info("dead letters sent again", {{"stream", found.stream.id.value()},
                                            {"replay", created->id.value()},
                                            {"records", created->total.value_or(0)},
                                            {"subject", request.identity.subject}});
  co_return json_response(
      202, {{"id", created->id.value()}, {"dead_letters", created->total.value_or(0)}});
}

Awaitable<Handlers::Or<Replay>> Handlers::load_replay(StreamId stream, ReplayId id) const {
  auto look = [this, stream, id] { return with_.replays.find(stream, id); };
  const auto replay = co_await with_.catalog_pool.run(std::move(look));
  if (!replay) co_return refused(replay.error());
  if (!*replay) co_return no_such_replay(id.value());
  co_return **replay;
}

Handlers::Answer Handlers::show_replay(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const StreamId stream = std::get<FoundStream>(loaded).stream.id;
  Or<Replay> replay = co_await load_replay(stream, ReplayId{request.replay_id});
  if (auto* response = std::get_if<Response>(&replay)) co_return std::move(*response);
  co_return json_response(200, shown(std::get<Replay>(std::move(replay)), with_.dispatch));
}

Handlers::Answer Handlers::cancel_replay(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const StreamId stream = std::get<FoundStream>(loaded).stream.id;
  const ReplayId id{request.replay_id};
  Or<Replay> replay = co_await load_replay(stream, id);
  if (auto* response = std::get_if<Response>(&replay)) co_return std::move(*response);
  if (std::get<Replay>(replay).state != ReplayState::Running) {
    co_return http::error_response(ErrorToken::Conflict, "the replay has ended already");
  }
  const Result<void> cancelled = co_await with_.dispatch.cancel_replay(stream, id);
  if (!cancelled && cancelled.error().code == ErrorCode::NotFound) {
    co_return http::error_response(ErrorToken::Conflict, "the replay has ended already");
  }
  if (!cancelled) co_return refused(cancelled.error());
  logging::info(
      "replay cancelled",
      {{"stream", stream.value()}, {"replay", id.value()}, {"subject", request.identity.subject}});
  replay = co_await load_replay(stream, id);
  if (auto* response = std::get_if<Response>(&replay)) co_return std::move(*response);
  co_return json_response(202, shown(std::get<Replay>(std::move(replay)), with_.dispatch));
}

}  // namespace sluice::api
