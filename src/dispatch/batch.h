#pragma once
// A batch from its first record to its settling, and how it is cut.

#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "connectors/connector.h"
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
  connectors::RecordBatch records;  // `runs` is empty while not loaded
  std::uint64_t joined_bytes = 0;   // of the records, each with its comma
  std::uint64_t memory_bytes = 0;   // of the chunks that `runs` holds on to
  WallTime stored;                  // when its first record was stored
  std::uint32_t attempts = 0;       // begun in this process
  Losses before;                    // offsets lost in front of its first record
  Losses inside;                    // and behind it
  // Nothing may be added: the cut follows from the cursor, the settings and the data alone.
  bool full = false;
  bool loaded = true;        // the bytes are at hand
  bool must_freeze = false;  // its boundary is to be durable before it is sent
  bool frozen = false;       // it is

  bool empty() const { return records.records == 0; }
};

// Adds records [begin, end) of `chunk`, as many as `limits` allow; a record larger than the limit
// goes alone. Returns the first that was not taken; sets `full` when it can tell.
std::uint32_t take_records(Batch& batch, const ChunkPtr& chunk, std::uint32_t begin,
                           std::uint32_t end, const connectors::BatchLimits& limits);

// What a chunk takes in memory.
std::uint64_t memory_of(const recordlog::Chunk& chunk);

}  // namespace sluice::dispatch
