// A stream's dead letters, and the command that makes records into them.

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "api/answers.h"
#include "api/handlers.h"
#include "api/json_text.h"
#include "api/record_scan.h"
#include "api/stream_body.h"
#include "api/stream_json.h"
#include "base/logging.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::json;
using nlohmann::ordered_json;

// The record as it lies: read and written again, its numbers might be others.
void append_letter(const catalog::DeadLetter& letter, std::string& body) {
  fmt::format_to(std::back_inserter(body),
                 R"({{"offset":{},"id":{},"kind":"{}","time":"{}","reason":{},"status":{},)"
                 R"("record":{}}})",
                 letter.offset.value(), letter.columns.id, kind_name(letter.kind),
                 rfc3339(letter.parked), to_text(ordered_json(letter.reason)),
                 letter.status ? std::to_string(*letter.status) : "null", letter.record);
}

struct Skip {
  Place to;
  bool park = true;
};

// Nullopt: a fault was added.
std::optional<Skip> parse_skip(const json& body, Faults& faults) {
  if (!body.is_object()) {
    faults.add("body", "must be an object");
    return std::nullopt;
  }
  constexpr std::array<std::string_view, 2> kKnown = {"to", "park"};
  refuse_unknown(body, "", kKnown, faults);
  Skip skip;
  if (const auto park = body.find("park"); park != body.end()) {
    if (!park->is_boolean()) faults.add("park", "must be true or false");
    skip.park = park->is_boolean() && park->get<bool>();
  }
  const std::optional<Place> place = place_of(body.value("to", json()));
  if (!place) faults.add("to", "must be an offset or a time like 2026-11-21T20:00:00Z");
  if (!faults.empty()) return std::nullopt;
  skip.to = *place;
  return skip;
}

}  // namespace

Handlers::Answer Handlers::list_dead_letters(Request request) {
  const Result<Page> page = parse_page(request.query);
  if (!page) co_return http::error_response(ErrorToken::BadQuery, page.error().message);
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const StreamId id = std::get<FoundStream>(loaded).stream.id;
  const Offset from{page->after ? *page->after + 1 : 0};
  auto read = [this, id, from, limit = page->limit] {
    return with_.dead_letters.list(id, from, static_cast<std::uint32_t>(limit));
  };
  const auto letters = co_await with_.catalog_pool.run(std::move(read));
  if (!letters) co_return refused(letters.error());
  std::string body = R"({"items":[)";
  for (const catalog::DeadLetter& letter : letters->letters) {
    if (&letter != &letters->letters.front()) body += ',';
    append_letter(letter, body);
  }
  fmt::format_to(
      std::back_inserter(body), R"(],"next":{}}})",
      letters->more ? fmt::format("\"{}\"", letters->letters.back().offset.value()) : "null");
  co_return Response{.status = 200, .body = std::move(body)};
}

Handlers::Answer Handlers::delete_dead_letters(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const StreamId id = std::get<FoundStream>(loaded).stream.id;
  auto remove = [this, id] { return with_.dead_letters.remove(id, std::nullopt); };
  const Result<std::uint64_t> removed = co_await with_.catalog_pool.run(std::move(remove));
  if (!removed) co_return refused(removed.error());
  logging::info(
      "dead letters deleted",
      {{"stream", id.value()}, {"records", *removed}, {"subject", request.identity.subject}});
  co_return json_response(200, {{"deleted", *removed}});
}

// Up to and with the record at `to`, or those stored at that time.
Handlers::Answer Handlers::skip_records(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  FoundStream& found = std::get<FoundStream>(loaded);
  if (auto closed = refuse_closed(found)) co_return *std::move(closed);
  const Result<json> body = parse_body(request);
  if (!body) co_return malformed(body.error());
  Faults faults;
  const std::optional<Skip> skip = parse_skip(*body, faults);
  if (!skip) co_return invalid_stream(faults);
  if (skip->park && with_.dead_letters.is_full(found.stream.id)) {
    co_return refused({ErrorCode::Conflict,
                       "the stream has as many dead letters as it may: redrive or delete them, or "
                       "skip with park false, which drops the records"});
  }
  auto find = [this, place = skip->to, organisation = found.organisation.id] {
    return offset_behind(place, organisation, with_.log);
  };
  const Result<Offset> to = co_await with_.catalog_pool.run(std::move(find));
  if (!to) co_return refused(to.error());
  const auto taken = co_await with_.dispatch.skip(found.stream.id, *to, skip->park);
  if (!taken) co_return refused(taken.error());
  logging::info("records skipped", {{"stream", found.stream.id.value()},
                                    {"before", to->value()},
                                    {"parked", skip->park},
                                    {"subject", request.identity.subject}});
  co_return co_await show_anew(202, std::move(found));
}

}  // namespace sluice::api
