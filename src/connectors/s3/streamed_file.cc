#include "connectors/s3/streamed_file.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <utility>

#include "connectors/exchange.h"

namespace sluice::connectors::s3 {
namespace {

struct Measured {
  Measured(const Config& config, const RecordRun& run)
      : facts{.kind = run.chunk->kind,
              .first = first_of(run),
              .bytes = 0,
              .sha256 = "",
              .beginning = ""},
        writer(config, run.chunk->kind) {}

  void take_blocks() {
    for (const std::string& block : writer.take_blocks()) {
      facts.bytes += block.size();
      const std::size_t shown = facts.beginning.size();
      if (shown <= kShownBodyBytesMax) {
        facts.beginning += std::string_view(block).substr(0, kShownBodyBytesMax + 1 - shown);
      }
    }
  }

  FileFacts facts;
  FileWriter writer;
};

}  // namespace

Awaitable<Result<std::vector<FileFacts>>> measure(const Config& config, RecordSource& records,
                                                  const Clock& clock, Deadline deadline) {
  const auto executor = co_await boost::asio::this_coro::executor;
  std::list<Measured> files;
  std::uint64_t turn_bytes = 0;
  records.rewind();
  while (true) {
    const Result<std::optional<RecordRun>> run = co_await records.next();
    if (!run.has_value()) co_return run.error();
    if (!run->has_value()) break;
    const RecordRun& part = **run;
    auto file = files.begin();
    while (file != files.end() && file->facts.kind != part.chunk->kind) ++file;
    if (file == files.end()) file = files.emplace(file, config, part);
    for (std::uint32_t i = part.begin; i < part.end; ++i) {
      file->writer.append(part.chunk->record(i));
      turn_bytes += part.chunk->record(i).size();
      if (turn_bytes < kBytesATurn) continue;
      turn_bytes = 0;
      file->take_blocks();
      co_await boost::asio::post(executor, boost::asio::use_awaitable);
    }
    if (clock.steady() >= deadline) {
      co_return Error{ErrorCode::Timeout,
                      "timed out while the file was made: give a larger delivery.timeout_ms or a "
                      "smaller flush_size"};
    }
  }
  std::vector<FileFacts> facts;
  for (Measured& file : files) {
    file.writer.finish();
    file.take_blocks();
    file.facts.sha256 = file.writer.sha256();
    facts.push_back(std::move(file.facts));
  }
  std::ranges::sort(facts, {}, &FileFacts::kind);
  co_return facts;
}

FileBody::FileBody(const Config& config, Kind kind, RecordSource& records)
    : config_(config), kind_(kind), records_(records) {}

void FileBody::begin() {
  records_.rewind();
  writer_.emplace(config_, kind_);
  run_.reset();
  ended_ = false;
  blocks_.clear();
  next_block_ = 0;
}

Awaitable<Result<std::string_view>> FileBody::next() {
  const auto executor = co_await boost::asio::this_coro::executor;
  std::uint64_t turn_bytes = 0;
  while (next_block_ == blocks_.size()) {
    if (ended_) co_return std::string_view();
    if (!run_) {
      Result<std::optional<RecordRun>> run = co_await records_.next();
      if (!run.has_value()) co_return run.error();
      run_ = *std::move(run);
      if (run_ && run_->chunk->kind != kind_) {
        run_.reset();
        continue;
      }
      if (run_) next_record_ = run_->begin;
    }
    if (!run_) {
      writer_->finish();
      ended_ = true;
    } else if (next_record_ == run_->end) {
      run_.reset();
    } else {
      const std::string_view record = run_->chunk->record(next_record_++);
      writer_->append(record);
      turn_bytes += record.size();
    }
    if (!writer_->blocks().empty()) {
      blocks_ = writer_->take_blocks();
      next_block_ = 0;
    }
    if (turn_bytes < kBytesATurn) continue;
    turn_bytes = 0;
    co_await boost::asio::post(executor, boost::asio::use_awaitable);
  }
  co_return std::string_view(blocks_[next_block_++]);
}

}  // namespace sluice::connectors::s3
