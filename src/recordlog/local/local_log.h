#pragma once
// The record log in segment files of one directory. Layout:
// docs/formats/segment.md.
//
// Durability: `done` of an append is called after fdatasync. Unacknowledged
// records may survive a crash or not, never in part of an organisation's order.
// Failure: after a failed write or sync everyone in that group gets the error,
// the segment ends where it was last synced and a new one is begun with the
// next append; health() tells until then. Threads: one commit thread a
// partition; they end in the destructor, which finishes what waits.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/disk_reserve.h"
#include "base/fs.h"
#include "base/metrics.h"
#include "base/units.h"
#include "recordlog/recordlog.h"

namespace sluice::recordlog {

// Of a new directory (ADR 2); an existing one keeps its number.
inline constexpr std::uint32_t kPartitions = 4;

struct LocalSettings {
  std::string directory;
  std::uint32_t partitions = kPartitions;    // 1..256; an existing directory keeps its own
  std::uint64_t segment_bytes = 128 * kMiB;  // 64 KiB..1 GiB; reserved when a segment begins
  std::int64_t retention_s = 20 * 24 * 3600;
  // That all segment files may take together, reserved space included; 0: no limit. Beyond, the
  // oldest go before their age if no stream needs them any more; else appends are refused.
  std::uint64_t bytes_max = 0;
  std::uint64_t append_queue_bytes_max = 256 * kMiB;  // waiting for the disk, over all partitions
  std::uint64_t chunk_cache_bytes_max = 32 * kMiB;    // read and checked, shared by all readers
  std::uint64_t recent_bytes_max = 16 * kMiB;         // small ones, as they were written
  std::uint64_t index_cache_bytes_max = 16 * kMiB;    // footers of sealed segments
  std::uint64_t request_keys_max = 1'000'000;         // of marked requests; then new ones wait
  std::int64_t request_keys_kept_s = 24 * 3600;       // from the last record stored
  // False, for the simulator: what the commit threads would do is done within append(),
  // run_retention() and the destructor, so that a run can be repeated. One thread only, then.
  bool own_threads = true;
};

struct LocalDependencies {  // all outlive the log
  FileSystem& fs;
  const Clock& clock;
  Metrics& metrics;
  // While it is given up, appends are refused: its room is for others. Null: there is none.
  const DiskReserve* reserve = nullptr;
};

// Of each organisation that has a stream: the first offset that one of its streams still needs.
using LowestCursors = std::unordered_map<OrganisationId, Offset>;

class LocalLog : public RecordLog {
 public:
  // Deletes what is older than the retention now, on the commit threads, and
  // waits for it. They do so every minute by themselves.
  virtual void run_retention() = 0;

  // Asked on a commit thread, at most once a second and only while the log is full; it may block.
  // No answer: nothing is deleted early. Returns when calls of the one before have ended.
  virtual void set_lowest_cursors(std::function<std::optional<LowestCursors>()> ask) = 0;
};

// Recovers what is there. Fails only if the directory cannot be used (Io,
// ResourceExhausted) or was made by another format version (InvalidArgument):
// never for damage, which health() tells.
// Readers must be gone before the log is destroyed. One process at a time may
// have the directory open; the caller sees to that.
Result<std::unique_ptr<LocalLog>> open_local(LocalSettings settings,
                                             LocalDependencies dependencies);

}  // namespace sluice::recordlog
