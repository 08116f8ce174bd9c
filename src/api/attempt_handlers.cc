// What became of a stream's deliveries.

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "api/answers.h"
#include "api/attempt_json.h"
#include "api/handlers.h"
#include "api/sample_record.h"
#include "api/stream_json.h"
#include "base/duration.h"
#include "base/logging.h"
#include "dispatch/test_send.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;
using nlohmann::ordered_json;

constexpr std::chrono::milliseconds kWindowMin = std::chrono::minutes(1);
constexpr std::chrono::milliseconds kWindowMax =
    std::chrono::minutes(catalog::AttemptLog::kMinutesKept - 1);
constexpr std::int64_t kMinuteMs = 60'000;

Result<std::chrono::milliseconds> parse_window(std::string_view text) {
  const Result<std::chrono::milliseconds> window = parse_duration(text);
  if (window && *window >= kWindowMin && *window <= kWindowMax) return window;
  return Error{ErrorCode::InvalidArgument,
               "query: window must be from 1m to 24h, such as 90m or 3h"};
}

ordered_json milliseconds_json(const std::optional<std::chrono::microseconds>& time) {
  return time ? ordered_json(static_cast<double>(time->count()) / 1000) : ordered_json();
}

Kind sample_kind(const catalog::Stream& stream) {
  return dispatch::kinds_of(stream.type) == KindSet{Kind::Usage} ? Kind::Usage : Kind::Event;
}

}  // namespace

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

Handlers::Answer Handlers::show_metrics(Request request) {
  const std::string window(request.query.find("window").value_or("3h"));
  const Result<std::chrono::milliseconds> time = parse_window(window);
  if (!time) co_return http::error_response(ErrorToken::BadQuery, time.error().message);
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  const StreamId id = std::get<FoundStream>(loaded).stream.id;
  const WallTime now = with_.clock.now();
  const WallTime since{(now.ms - time->count()) / kMinuteMs * kMinuteMs};
  auto read = [this, id, since] { return with_.attempts.sums(id, since); };
  const Result<catalog::AttemptSums> sums = co_await with_.catalog_pool.run(std::move(read));
  if (!sums) co_return refused(sums.error());
  const auto snapshot = with_.dispatch.snapshot(id).value_or(dispatch::StreamSnapshot());
  co_return json_response(200, {{"window", window},
                                {"from", rfc3339(since)},
                                {"to", rfc3339(now)},
                                {"success_count", sums->successes},
                                {"error_count", sums->errors},
                                {"records", sums->records},
                                {"bytes", sums->bytes},
                                {"latency_ms",
                                 {{"p50", milliseconds_json(sums->latencies.quantile(0.5))},
                                  {"p99", milliseconds_json(sums->latencies.quantile(0.99))}}},
                                {"lag_records", snapshot.lag_records},
                                {"lag_s", snapshot.lag_s}});
}

Handlers::Answer Handlers::test_stream(Request request) {
  Or<FoundStream> loaded = co_await load_stream(request);
  if (auto* response = std::get_if<Response>(&loaded)) co_return std::move(*response);
  if (auto refusal = refuse_body(request)) co_return *std::move(refusal);
  if (auto closed = refuse_closed(std::get<FoundStream>(loaded))) co_return *std::move(closed);
  const auto& [stream, organisation] = std::get<FoundStream>(loaded);
  const std::optional<OrganisationSlots::Slot> slot = tests_.take(stream.organisation);
  if (!slot) {
    co_return http::error_response(
        ErrorToken::RateLimited,
        fmt::format(
            "organisation {}: other streams are being tested; try again when that has ended",
            stream.organisation.value()));
  }
  const Kind kind = sample_kind(stream);
  const auto find = [this](std::string_view type) {
    return find_connector(with_.connectors, type);
  };
  const Result<Attempt> attempt = co_await dispatch::send_test(
      stream, kind, sample_record(kind, organisation, with_.clock.now()), find,
      with_.connector_contexts[request.io_thread]);
  if (!attempt) co_return refused(attempt.error());
  logging::info("stream tested", {{"stream", stream.id.value()},
                                  {"organisation", organisation.id.value()},
                                  {"subject", request.identity.subject}});
  co_return json_response(200, attempt_json(*attempt));
}

}  // namespace sluice::api
