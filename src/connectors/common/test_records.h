#pragma once
// For tests: chunks that own what their views point into, batches of them, and what became of one.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "connectors/connector.h"

namespace sluice::connectors::testing {

class TestChunk {
 public:
  TestChunk(Offset first, const std::vector<std::string>& records, Kind kind = Kind::Event,
            WallTime stored = {})
      : columns_(records.size()) {
    for (const std::string& record : records) {
      starts_.push_back(static_cast<std::uint32_t>(joined_.size()));
      joined_ += record + ",";
    }
    starts_.push_back(static_cast<std::uint32_t>(joined_.size()));
    joined_.pop_back();
    auto chunk = std::make_shared<recordlog::Chunk>();
    chunk->organisation = OrganisationId{399921};
    chunk->kind = kind;
    chunk->first = first;
    chunk->stored = stored;
    chunk->joined = joined_;
    chunk->starts = starts_;
    chunk->columns = columns_;
    chunk_ = chunk;
  }
  TestChunk(const TestChunk&) = delete;
  TestChunk& operator=(const TestChunk&) = delete;

  RecordColumns& columns(std::uint32_t index) { return columns_[index]; }
  const recordlog::Chunk& chunk() const { return *chunk_; }
  RecordRun run(std::uint32_t begin, std::uint32_t end) const { return {chunk_, begin, end}; }
  RecordRun run() const { return run(0, chunk_->count()); }

 private:
  std::string joined_;
  std::vector<std::uint32_t> starts_;
  std::vector<RecordColumns> columns_;
  std::shared_ptr<const recordlog::Chunk> chunk_;
};

inline RecordBatch batch_of(std::vector<RecordRun> runs) {
  RecordBatch batch;
  batch.stream = StreamId{7};
  batch.organisation = OrganisationId{399921};
  batch.first = plus(runs.front().chunk->first, runs.front().begin);
  batch.last = plus(runs.back().chunk->first, runs.back().end - 1);
  batch.webhook_id =
      "7-1-" + std::to_string(batch.first.value()) + "-" + std::to_string(batch.last.value());
  for (const RecordRun& run : runs) {
    batch.records += run.count();
    batch.bytes += run.joined().size() + 1 - run.count();
  }
  batch.runs = std::move(runs);
  return batch;
}

// Null: the decision is another.
template <class Expected>
const Expected* as(const SendOutcome& outcome) {
  return std::get_if<Expected>(&outcome.decision);
}

}  // namespace sluice::connectors::testing
