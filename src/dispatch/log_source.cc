#include "dispatch/log_source.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace sluice::dispatch {

using connectors::RecordRun;

LogSource::LogSource(std::unique_ptr<recordlog::Reader> reader, Selection selection,
                     const connectors::RecordBatch& batch)
    : reader_(std::move(reader)),
      selection_(std::move(selection)),
      first_(batch.first),
      last_(batch.last),
      records_(batch.records),
      bytes_(batch.bytes),
      at_(batch.first) {}

void LogSource::rewind() {
  at_ = first_;
  read_ = {};
  next_run_ = 0;
}

Awaitable<Result<std::optional<RecordRun>>> LogSource::next() {
  const auto executor = co_await boost::asio::this_coro::executor;
  while (!has_run() && !at_end()) {
    const Result<void> done = read_chunk();
    if (!done.has_value()) co_return done.error();
    if (!has_run()) co_await boost::asio::post(executor, boost::asio::use_awaitable);
  }
  co_return next_at_once();
}

Result<std::optional<RecordRun>> LogSource::next_at_once() {
  while (!has_run() && !at_end()) {
    if (Result<void> done = read_chunk(); !done.has_value()) return done.error();
  }
  if (has_run()) return std::optional(std::move(read_.records.runs[next_run_++]));
  if (Result<void> same = compare(); !same.has_value()) return same.error();
  return std::optional<RecordRun>();
}

Result<void> LogSource::read_chunk() {
  read_.records.runs.clear();
  read_.memory_bytes = 0;
  next_run_ = 0;
  if (reader_ == nullptr) return Error{ErrorCode::Cancelled, "the stream stops"};
  const Result<recordlog::ReadResult> result = reader_->read(at_);
  if (!result.has_value()) return result.error();
  if (const ChunkPtr& chunk = result->chunk) {
    const auto index = [&](Offset offset) {
      const std::uint64_t at = std::max(offset, chunk->first).value() - chunk->first.value();
      return static_cast<std::uint32_t>(std::min<std::uint64_t>(at, chunk->count()));
    };
    ChunkPart part{chunk, index(at_), index(sluice::next(last_))};
    selection_.take(read_, part, kNoLimits);
  } else if (result->resume <= at_) {
    return Error{ErrorCode::Unavailable, "the record log does not show all of the batch"};
  }
  at_ = std::max(at_, result->resume);
  return {};
}

// What was lost since leaves fewer records.
Result<void> LogSource::compare() const {
  const connectors::RecordBatch& read = read_.records;
  if (read.records == records_ && read.first == first_ && read.last == last_ &&
      read.bytes == bytes_) {
    return {};
  }
  return Error{ErrorCode::Unavailable, "records of the batch were lost since it was cut"};
}

}  // namespace sluice::dispatch
