#include "api/record_calls.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <deque>
#include <nlohmann/json.hpp>

#include "api/fault.h"
#include "api/json_text.h"
#include "api/stream_fields.h"
#include "filters/filter.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::json;

constexpr std::size_t kScanThreads = 2;
constexpr std::size_t kScansMax = 64;  // of all organisations, most of them waiting for a thread

constexpr std::size_t kLiveMax = 1000;  // of all organisations

constexpr std::size_t kPageRecords = 100;
constexpr std::size_t kPageRecordsMax = 1000;
constexpr std::size_t kPageBytesMax = 4 << 20;  // a page ends behind the record that reaches it
constexpr std::size_t kPreviewRecordsMax = 10;
constexpr std::int64_t kPreviewMs = 24 * 3'600'000ll;

constexpr KindSet kAllKinds = {Kind::Usage, Kind::Event};

using FilterOr = std::variant<std::shared_ptr<const filters::Filter>, Response>;

Response bad_query(std::string_view message) {
  return http::error_response(ErrorToken::BadQuery, fmt::format("query: {}", message));
}

Response log_failed(const Error& error) {
  return http::error_response(http::token_for(error.code), error.message);
}

Response too_many(OrganisationId organisation) {
  return http::error_response(
      ErrorToken::RateLimited,
      fmt::format("organisation {}: its records are being searched already, or too many others' "
                  "are; try again when that has ended",
                  organisation.value()));
}

// `faults` may hold some already.
FilterOr compile(const json& clauses, KindSet kinds, Faults& faults) {
  auto compiled = filters::Filter::compile(clauses, kinds);
  if (const auto* found = std::get_if<std::vector<filters::Fault>>(&compiled)) {
    for (const filters::Fault& fault : *found) faults.add(fault.clause, fault.message);
  }
  if (!faults.empty()) return invalid_stream(faults);
  return std::get<std::shared_ptr<const filters::Filter>>(std::move(compiled));
}

std::optional<KindSet> kinds_named(std::optional<std::string_view> name) {
  if (!name) return kAllKinds;
  for (const Kind kind : {Kind::Usage, Kind::Event}) {
    if (kind_name(kind) == *name) return KindSet{kind};
  }
  return std::nullopt;
}

// "complete", "reached" and "damaged" of an answer.
std::string how_far(const ScanEnd& end) {
  return fmt::format(R"("complete":{},"reached":{{"offset":{},"stored":{}}},"damaged":{})",
                     end.complete, end.reached.value(),
                     end.stored ? fmt::format("\"{}\"", rfc3339(*end.stored)) : "null",
                     end.damaged);
}

}  // namespace

struct RecordCalls::Wanted {
  KindSet kinds;
  std::shared_ptr<const filters::Filter> filter;
};

// Which part of a long list.
struct RecordCalls::Page {
  Place from = Offset{};
  std::optional<Place> to;
  std::optional<Offset> after;  // `next` of the page before
  std::size_t limit = kPageRecords;
};

RecordCalls::RecordCalls(const Settings& settings, const Dependencies& dependencies)
    : settings_(settings),
      with_(dependencies),
      scans_(settings.scans_max, kScansMax,
             dependencies.metrics.gauge("sluice_api_scans", "Searches of records under way.")),
      live_(settings.live_connections_max, kLiveMax,
            dependencies.metrics.gauge("sluice_api_live_connections",
                                       "Connections that are sent records as they are stored.")),
      live_meters_{
          dependencies.metrics.counter(
              "sluice_api_live_behind_total",
              "Times that a live connection took records too slowly and got a gap."),
          dependencies.metrics.gauge("sluice_api_live_connections_behind",
                                     "Live connections that take records too slowly now.")},
      pool_("scan", kScanThreads) {}

SteadyTime RecordCalls::until() const {
  return with_.clock.steady() + std::chrono::milliseconds(settings_.scan_ms_max);
}

// --- what is asked for

std::variant<RecordCalls::Wanted, Response> RecordCalls::parse_wanted(const Query& query) {
  const std::optional<KindSet> kinds = kinds_named(query.find("kind"));
  if (!kinds) return bad_query("kind must be usage or event");
  const Result<json> clauses =
      parse_json(query.find("filters").value_or("[]"), DuplicateKeys::LastCounts);
  if (!clauses) return bad_query(fmt::format("filters: {}", clauses.error().message));
  Faults faults;
  FilterOr filter = compile(*clauses, *kinds, faults);
  if (auto* response = std::get_if<Response>(&filter)) return std::move(*response);
  return Wanted{*kinds, std::get<std::shared_ptr<const filters::Filter>>(std::move(filter))};
}

std::variant<RecordCalls::Page, Response> RecordCalls::parse_page(const Query& query) {
  Page page;
  for (const std::string_view name : {"from", "to"}) {
    const std::optional<std::string_view> text = query.find(name);
    if (!text) continue;
    const std::optional<Place> place = parse_place(*text);
    if (!place) return bad_query(fmt::format("{} must be an offset or an RFC 3339 time", name));
    if (name == "from") {
      page.from = *place;
    } else {
      page.to = *place;
    }
  }
  if (const auto text = query.find("after")) {
    const std::optional<Place> place = parse_place(*text);
    if (!place || !std::holds_alternative<Offset>(*place)) {
      return bad_query("after must be the next of the page before");
    }
    page.after = std::get<Offset>(*place);
  }
  if (const auto text = query.find("limit")) {
    const char* const end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, page.limit);
    if (error != std::errc() || stop != end || page.limit < 1 || page.limit > kPageRecordsMax) {
      return bad_query(fmt::format("limit must be a number from 1 to {}", kPageRecordsMax));
    }
  }
  return page;
}

std::variant<RecordCalls::Wanted, Response> RecordCalls::parse_preview(const json& body) {
  constexpr std::array<std::string_view, 2> kKnown = {"data_stream_type", "filters"};
  Faults faults;
  if (!body.is_object()) {
    faults.add("body", "must be an object");
    return invalid_stream(faults);
  }
  refuse_unknown(body, "", kKnown, faults);
  const std::optional<std::uint32_t> type = parse_type(body, faults);
  const json* const clauses = find(body, "filters");
  if (clauses == nullptr) faults.add("filters", "is required");
  if (!type || clauses == nullptr) return invalid_stream(faults);
  const KindSet kinds = kinds_of(*type);
  FilterOr filter = compile(*clauses, kinds, faults);
  if (auto* response = std::get_if<Response>(&filter)) return std::move(*response);
  return Wanted{kinds, std::get<std::shared_ptr<const filters::Filter>>(std::move(filter))};
}

// --- answers

Response RecordCalls::read_page(OrganisationId organisation, const Wanted& wanted,
                                const Page& page) {
  const Result<Offset> from = offset_of(page.from, organisation, with_.log);
  if (!from) return log_failed(from.error());
  const Result<Offset> to = page.to ? offset_of(*page.to, organisation, with_.log)
                                    : Result<Offset>(with_.log.end(organisation));
  if (!to) return log_failed(to.error());
  const ScanRange range{organisation, wanted.kinds, std::max(*from, page.after.value_or(Offset{})),
                        *to};
  std::string items;
  std::size_t count = 0;
  const auto add = [&](const FoundRecord& found) {
    if (count > 0) items += ',';
    append_item(*found.first, found.second, items);
    return ++count < page.limit && items.size() < kPageBytesMax;
  };
  const Result<ScanEnd> end = scan(with_.log, with_.clock, *wanted.filter, range, until(), add);
  if (!end) return log_failed(end.error());
  const bool more = end->reached < std::min(*to, with_.log.end(organisation));
  return {.status = 200,
          .body = fmt::format(R"({{"items":[{}],"next":{},{}}})", items,
                              more ? fmt::format("\"{}\"", end->reached.value()) : "null",
                              how_far(*end))};
}

Response RecordCalls::read_preview(OrganisationId organisation, const Wanted& wanted) {
  const WallTime day_ago{with_.clock.now().ms - kPreviewMs};
  const Result<Offset> from = with_.log.offset_at(organisation, day_ago);
  if (!from) return log_failed(from.error());
  const ScanRange range{organisation, wanted.kinds, *from, with_.log.end(organisation)};
  std::uint64_t count = 0;
  std::deque<FoundRecord> newest;
  const auto add = [&](const FoundRecord& found) {
    ++count;
    newest.push_back(found);
    if (newest.size() > kPreviewRecordsMax) newest.pop_front();
    return true;
  };
  const Result<ScanEnd> end = scan(with_.log, with_.clock, *wanted.filter, range, until(), add);
  if (!end) return log_failed(end.error());
  std::string items;
  for (const FoundRecord& found : newest) {
    if (!items.empty()) items += ',';
    append_item(*found.first, found.second, items);
  }
  return {.status = 200,
          .body = fmt::format(R"({{"count":{},"items":[{}],{}}})", count, items, how_far(*end))};
}

Awaitable<Response> RecordCalls::browse(OrganisationId organisation, Query query) {
  std::variant<Wanted, Response> wanted = parse_wanted(query);
  if (auto* response = std::get_if<Response>(&wanted)) co_return std::move(*response);
  std::variant<Page, Response> page = parse_page(query);
  if (auto* response = std::get_if<Response>(&page)) co_return std::move(*response);
  const std::optional<OrganisationSlots::Slot> slot = scans_.take(organisation);
  if (!slot) co_return too_many(organisation);
  auto read = [this, organisation, wanted = std::get<Wanted>(std::move(wanted)),
               page = std::get<Page>(page)] { return read_page(organisation, wanted, page); };
  co_return co_await pool_.run(std::move(read));
}

Awaitable<Response> RecordCalls::preview(OrganisationId organisation, json body) {
  std::variant<Wanted, Response> wanted = parse_preview(body);
  if (auto* response = std::get_if<Response>(&wanted)) co_return std::move(*response);
  const std::optional<OrganisationSlots::Slot> slot = scans_.take(organisation);
  if (!slot) co_return too_many(organisation);
  auto read = [this, organisation, wanted = std::get<Wanted>(std::move(wanted))] {
    return read_preview(organisation, wanted);
  };
  co_return co_await pool_.run(std::move(read));
}

Awaitable<Response> RecordCalls::count(ScanRange range,
                                       std::shared_ptr<const filters::Filter> filter) {
  const std::optional<OrganisationSlots::Slot> slot = scans_.take(range.organisation);
  if (!slot) co_return too_many(range.organisation);
  auto look = [this, range, filter = std::move(filter)]() -> Response {
    std::uint64_t count = 0;
    const auto add = [&](const FoundRecord&) {
      ++count;
      return true;
    };
    const Result<ScanEnd> end = scan(with_.log, with_.clock, *filter, range, until(), add);
    if (!end) return log_failed(end.error());
    return {.status = 200, .body = fmt::format(R"({{"count":{},{}}})", count, how_far(*end))};
  };
  co_return co_await pool_.run(std::move(look));
}

std::variant<LiveConnection, Response> RecordCalls::watch(OrganisationId organisation,
                                                          const Query& query,
                                                          std::string_view last_event_id) {
  std::variant<Wanted, Response> wanted = parse_wanted(query);
  if (auto* response = std::get_if<Response>(&wanted)) return std::move(*response);
  auto& [kinds, filter] = std::get<Wanted>(wanted);
  LiveFeed::Wanted feed{organisation, kinds, std::move(filter), {}};
  if (!last_event_id.empty()) {
    const std::optional<Place> place = parse_place(last_event_id);
    if (!place || !std::holds_alternative<Offset>(*place)) {
      return http::error_response(ErrorToken::BadQuery,
                                  "Last-Event-ID must be the id of an event of this call");
    }
    feed.resume = std::get<Offset>(*place);
  }
  std::optional<OrganisationSlots::Slot> slot = live_.take(organisation);
  if (!slot) {
    return http::error_response(
        ErrorToken::RateLimited,
        fmt::format("organisation {} has {} live connections already, or all together have {}: "
                    "end one first",
                    organisation.value(), settings_.live_connections_max, kLiveMax));
  }
  return LiveConnection{*std::move(slot),
                        std::make_unique<LiveFeed>(with_.log, std::move(feed),
                                                   settings_.live_bytes_behind_max, live_meters_)};
}

}  // namespace sluice::api
