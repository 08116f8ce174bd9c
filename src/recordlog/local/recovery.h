#pragma once
// What a partition's directory holds after any stop: reads every segment, moves
// what is torn or damaged to quarantine, and works out which offset each
// organisation gets next.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "recordlog/local/index.h"
#include "recordlog/local/log_context.h"
#include "recordlog/local/partition_files.h"
#include "recordlog/local/segment.h"

namespace sluice::recordlog {

struct ScannedSegment {
  struct Region {
    std::uint64_t position = 0;
    std::uint64_t bytes = 0;
    std::optional<ChunkHeader> chunk;  // damaged, but its header is good
  };
  GrowingIndex index;            // good chunks, and damaged ones whose header can be read
  std::uint64_t frames_end = 0;  // behind the last chunk that counts
  std::uint64_t last_group = 0;  // where that chunk's commit group begins
  std::vector<Region> damage;    // was on stable storage once
  std::optional<Region> torn_tail;
};

// Up to where a segment without footer is known to have been on stable storage.
struct SyncedEnd {
  std::uint64_t position = 0;
  bool exact = false;  // what lies beyond is of a failed write, however good it looks
};
// From the header of the segment behind it (null: there is none), else from the mark.
Result<SyncedEnd> find_synced_end(std::uint64_t sequence, const File* next_segment,
                                  const std::optional<SyncedMark>& mark);

// Walks a segment without (good) footer. Unreadable bytes are damage below `synced` or in front of
// a later commit group, and a torn tail otherwise: a group is synced before the next is written.
Result<ScannedSegment> scan_segment(const File& file, SyncedEnd synced);

struct RecoveredPartition {
  SegmentList segments;
  NextOffsets next_offsets;
  NextOffsets noted_offsets;  // those in the file `offsets`
  WallTime last_stored;
  std::uint64_t next_sequence = 1;
  std::vector<std::string> problems;  // for health(): sentences
};

enum class RecoveryMode : std::uint8_t {
  Start,   // sealed segments are taken as they are: their damage shows when it is read
  Repair,  // everything is read; what is damaged goes to quarantine, and a gap takes its place
};

// Io, ResourceExhausted: the disk does not let us read, or confirm what we
// read. InvalidArgument: a segment of another format version or of another log.
Result<RecoveredPartition> recover_partition(LogContext& context, std::uint32_t partition,
                                             RecoveryMode mode = RecoveryMode::Start);

}  // namespace sluice::recordlog
