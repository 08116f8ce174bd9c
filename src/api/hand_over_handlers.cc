// One stream takes another's place, at exactly its cursor.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/answers.h"
#include "api/handlers.h"
#include "base/logging.h"

namespace sluice::api {
namespace {

using http::ErrorToken;
using http::Response;

constexpr std::size_t kClosedMax = 10;  // an organisation

Response cannot_replace(const std::string& message) {
  Faults faults;
  faults.add("replaces", message);
  return invalid_stream(faults);
}

}  // namespace

std::optional<Response> Handlers::refuse_closed(const FoundStream& found) {
  if (!found.stream.replaced_by) return std::nullopt;
  return http::error_response(
      ErrorToken::Conflict,
      fmt::format("stream {} has been replaced by stream {}: it can only be deleted",
                  found.stream.id.value(), found.stream.replaced_by->value()));
}

// The former stream stands still from here on. A crash leaves it as it was, or closed with the new
// one at its cursor.
Awaitable<Handlers::Or<catalog::Stream>> Handlers::store_new(NewStream draft) const {
  auto store = [this, &draft] { return store_stream(std::move(draft)); };
  if (!draft.replaces) co_return co_await with_.catalog_pool.run(std::move(store));

  const StreamId former = *draft.replaces;
  auto look = [this, former, &draft] { return find_stream(draft.stream.organisation, former); };
  Or<FoundStream> looked = co_await with_.catalog_pool.run(std::move(look));
  const auto* found = std::get_if<FoundStream>(&looked);
  if (found == nullptr && std::get<Response>(looked).status != 404) {
    co_return std::get<Response>(std::move(looked));
  }
  if (found == nullptr) {
    co_return cannot_replace(fmt::format("stream {} does not exist", former.value()));
  }
  if (auto closed = refuse_closed(*found)) co_return *std::move(closed);
  if (found->stream.type != draft.stream.type) {
    co_return cannot_replace(fmt::format("stream {} has another data_stream_type", former.value()));
  }
  const auto standing = co_await with_.dispatch.begin_hand_over(former);
  if (!standing) co_return refused(standing.error());
  draft.stream.hand_over = {former, standing->cursor, standing->in_doubt};
  Or<catalog::Stream> stored = co_await with_.catalog_pool.run(std::move(store));
  const auto* created = std::get_if<catalog::Stream>(&stored);
  const std::optional<StreamId> successor =
      created != nullptr ? std::optional(created->id) : std::nullopt;
  const Result<void> ended = co_await with_.dispatch.end_hand_over(former, successor);
  if (!ended) {
    logging::warn("a stream that was replaced is gone", {{"stream", former.value()}});
  }
  co_return stored;
}

// Nobody waits for what fails here: the next hand-over tries again.
Awaitable<void> Handlers::forget_closed(const catalog::Organisation& organisation) const {
  auto look = [this, &organisation] { return with_.catalog.streams(organisation.id); };
  Result<std::vector<catalog::Stream>> streams = co_await with_.catalog_pool.run(std::move(look));
  if (!streams) co_return;
  std::erase_if(*streams, [](const catalog::Stream& stream) { return !stream.replaced_by; });
  std::ranges::sort(*streams, std::ranges::greater(),
                    [](const catalog::Stream& stream) { return stream.closed.ms; });
  const std::int64_t too_old = with_.clock.now().ms - settings_.historic_ms_max;
  for (std::size_t i = 0; i < streams->size(); ++i) {
    const catalog::Stream& stream = (*streams)[i];
    if (i < kClosedMax && stream.closed.ms >= too_old) continue;
    const FoundStream closed{stream, organisation};
    const std::optional<Response> refusal = co_await erase(closed);
    if (!refusal) {
      logging::info("a stream that was replaced long ago is deleted",
                    {{"stream", stream.id.value()}});
    }
  }
}

}  // namespace sluice::api
