#include "api/live_feed.h"

#include <fmt/format.h>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "api/record_scan.h"

namespace sluice::api {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kStepChunksMax = 64;
constexpr std::size_t kStepBytesMax = 256 << 10;  // of chunks; a step ends behind the one over it

constexpr milliseconds kBusy{10};         // the socket takes what is queued meanwhile
constexpr milliseconds kIdle{200};        // one RecordLog::end() each, no more
constexpr milliseconds kSilence{15'000};  // longer, and proxies take the connection for dead

}  // namespace

LiveFeed::LiveFeed(recordlog::RecordLog& log, Wanted wanted, std::uint64_t bytes_behind_max,
                   Meters meters)
    : log_(log),
      wanted_(std::move(wanted)),
      bytes_behind_max_(bytes_behind_max),
      meters_(meters),
      at_(log.end(wanted_.organisation)) {
  if (!wanted_.resume || *wanted_.resume > at_) return;
  behind_ = at_.value() - wanted_.resume->value() > kResumeOffsetsMax;
  at_ = *wanted_.resume;
}

LiveFeed::~LiveFeed() { show_behind(false); }

void LiveFeed::show_behind(bool behind) {
  if (std::exchange(shown_as_behind_, behind) != behind) meters_.behind.add(behind ? 1 : -1);
}

LiveFeed::Step LiveFeed::next(std::uint64_t queued_bytes) {
  const Offset end = log_.end(wanted_.organisation);
  const bool was_full = std::exchange(was_full_, queued_bytes > bytes_behind_max_);
  if (end <= at_) return {};
  if (was_full_) {
    if (was_full && !std::exchange(behind_, true)) {
      meters_.fell_behind.add();
      show_behind(true);
    }
    return {};
  }
  show_behind(false);
  if (!std::exchange(behind_, false)) return read(end);
  Step step;
  append_gap(end, step.events);
  return step;
}

LiveFeed::Step LiveFeed::read(Offset end) {
  Step step;
  // Made anew for each step: that costs a search, and nothing of the log stays when it closes.
  const auto reader = log_.reader(wanted_.organisation, wanted_.kinds);
  std::size_t bytes = 0;
  for (std::uint32_t i = 0; i < kStepChunksMax && bytes < kStepBytesMax && at_ < end; ++i) {
    const Result<recordlog::ReadResult> result = reader->read(at_);
    if (!result) return step;  // the disk failed: again later
    const auto& chunk = result->chunk;
    if (result->damaged + result->aged_out > 0) {
      append_gap(chunk == nullptr ? result->resume : std::max(at_, chunk->first), step.events);
    }
    if (chunk != nullptr) {
      append_records(*chunk, step.events);
      bytes += chunk->joined.size();
    }
    if (chunk == nullptr && result->resume <= at_) return step;
    at_ = std::max(at_, result->resume);
  }
  step.more = at_ < end;
  return step;
}

void LiveFeed::append_records(const recordlog::Chunk& chunk, std::string& events) {
  const filters::Filter& filter = *wanted_.filter;
  for (std::uint32_t i = 0; i < chunk.count(); ++i) {
    const Offset offset = plus(chunk.first, i);
    if (offset < at_) continue;
    if (!filter.passes_all() &&
        !evaluator_.passes(filter, chunk.kind, chunk.columns[i], chunk.record(i))) {
      continue;
    }
    fmt::format_to(std::back_inserter(events),
                   "event: record\nid: {}\ndata: ", plus(offset, 1).value());
    const auto data = static_cast<std::ptrdiff_t>(events.size());
    append_item(chunk, i, events);
    // A line break would end the event's data; in JSON it stands between tokens only.
    std::replace(events.begin() + data, events.end(), '\n', ' ');
    std::replace(events.begin() + data, events.end(), '\r', ' ');
    events += "\n\n";
  }
}

void LiveFeed::append_gap(Offset to, std::string& events) {
  const Offset from = std::exchange(at_, to);
  fmt::format_to(std::back_inserter(events),
                 "event: gap\nid: {1}\ndata: {{\"from\":{0},\"to\":{1}}}\n\n", from.value(),
                 to.value());
}

std::string LiveFeed::sign_of_life() const {
  return fmt::format(": still here\nid: {}\n\n", at_.value());
}

Awaitable<void> run_live(LiveConnection connection, TokenVerifier& tokens, std::string token,
                         std::shared_ptr<http::AnswerStream> client) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  milliseconds silent = kSilence;  // so that it begins with its place
  for (;;) {
    if (!tokens.verify(token)) {
      client->write("event: end\ndata: {\"reason\":\"the token has ended\"}\n\n");
      co_return;
    }
    LiveFeed::Step step = connection.feed->next(client->queued_bytes());
    const milliseconds pause = step.more || !step.events.empty() ? kBusy : kIdle;
    silent = step.events.empty() ? silent + pause : milliseconds{0};
    if (silent >= kSilence) {
      step.events = connection.feed->sign_of_life();
      silent = milliseconds{0};
    }
    if (!client->write(std::move(step.events))) co_return;
    timer.expires_after(pause);
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
}

}  // namespace sluice::api
