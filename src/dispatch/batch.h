#pragma once
// A batch from its first record to its settling, and how it is cut.

#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/units.h"
#include "connectors/connector.h"
#include "filters/filter.h"
#include "recordlog/recordlog.h"

namespace sluice::dispatch {

using ChunkPtr = std::shared_ptr<const recordlog::Chunk>;  // shared with other streams' batches

struct Losses {
  std::uint64_t aged_out = 0;
  std::uint64_t damaged = 0;
  void add(const Losses& other) {
    aged_out += other.aged_out;
    damaged += other.damaged;
  }
  bool any() const { return aged_out != 0 || damaged != 0; }
};

struct Batch {
  connectors::RecordBatch records;  // `runs` is empty while not loaded, and where streamed
  std::uint64_t joined_bytes = 0;   // of the records, each with its comma
  std::uint64_t memory_bytes = 0;   // of the chunks that `runs` holds on to
  WallTime stored;                  // when its first record was stored
  std::optional<WallTime> newest;   // and its last; nullopt until it was loaded once
  std::uint32_t attempts = 0;       // begun in this process
  Losses before;                    // offsets lost in front of its first record
  Losses inside;                    // and behind it
  // Nothing may be added: the cut follows from the cursor, the settings and the data alone.
  bool full = false;
  bool loaded = true;     // the bytes are at hand; streamed: the records were counted
  bool streamed = false;  // too large to be held: its records are read while they are sent
  connectors::FirstStored first_stored;  // of a streamed batch
  bool must_freeze = false;              // its boundary is to be durable before it is sent
  bool frozen = false;                   // it is

  bool empty() const { return records.records == 0; }
};

// For records that are known to be one batch.
inline constexpr connectors::BatchLimits kNoLimits{~0u, kGiB* kGiB};

// Adds records [begin, end) of `chunk`, as many as `limits` allow; a record larger than the limit
// goes alone. Returns the first that was not taken; sets `full` when it can tell.
std::uint32_t take_records(Batch& batch, const ChunkPtr& chunk, std::uint32_t begin,
                           std::uint32_t end, const connectors::BatchLimits& limits);

// It becomes a streamed batch, or stays one: what was taken is counted and held no more.
void let_go_of_bytes(Batch& batch);

// Leaves records [begin, end) of the batch, which is held: another batch, not tried
// yet.
void narrow(Batch& batch, std::uint32_t begin, std::uint32_t end);

// Offset of a held batch's record.
Offset offset_of(const connectors::RecordBatch& records, std::uint32_t index);

// Records [begin, end) of a chunk, which are still to be looked at or taken.
struct ChunkPart {
  ChunkPtr chunk;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  // As far as the filter was asked: up to `passing` they pass, from there up to `known` they do
  // not. No record is asked about twice.
  std::uint32_t passing = 0;
  std::uint32_t known = 0;

  bool empty() const { return begin == end; }
};

// What a stream wants of the records of its kinds: what its filter passes, but no alerts about
// itself.
class Selection {
 public:
  // `filter` null: everything. `evaluator` is the stream's loop's.
  Selection(StreamId stream, std::shared_ptr<const filters::Filter> filter,
            filters::Evaluator* evaluator);

  // Moves what passes from the front of `part` to `batch`, until one of them is exhausted. A batch
  // that takes little of a chunk gets copies, so that it does not hold on to all of it.
  void take(Batch& batch, ChunkPart& part, const connectors::BatchLimits& limits) const;

 private:
  void find_passing(ChunkPart& part, std::uint32_t room) const;
  bool passes(const recordlog::Chunk& chunk, std::uint32_t record) const;

  StreamId stream_;
  std::shared_ptr<const filters::Filter> filter_;  // null: everything passes
  filters::Evaluator* evaluator_;
};

// What a chunk takes in memory.
std::uint64_t memory_of(const recordlog::Chunk& chunk);

}  // namespace sluice::dispatch
