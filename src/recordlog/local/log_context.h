#pragma once
// What the partitions, segments and readers of one log share.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/flat_map.h"
#include "base/fs.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "recordlog/local/disk_budget.h"
#include "recordlog/local/index.h"
#include "recordlog/local/local_log.h"
#include "recordlog/local/lru_cache.h"
#include "recordlog/local/mark_table.h"
#include "recordlog/local/quarantine.h"
#include "recordlog/local/retention_guard.h"
#include "recordlog/recordlog.h"

namespace sluice::recordlog {

// A segment within its log: partition and sequence.
struct SegmentId {
  std::uint32_t partition = 0;
  std::uint64_t sequence = 0;
  friend bool operator==(SegmentId, SegmentId) = default;
};

struct ChunkKey {
  SegmentId segment;
  std::uint32_t position = 0;
  friend bool operator==(ChunkKey, ChunkKey) = default;
};

constexpr std::uint64_t mix(std::uint64_t value) {  // splitmix64
  value += 0x9E3779B97F4A7C15;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
  return value ^ (value >> 31);
}

}  // namespace sluice::recordlog

template <>
struct std::hash<sluice::recordlog::SegmentId> {
  std::size_t operator()(sluice::recordlog::SegmentId id) const noexcept {
    return sluice::recordlog::mix(id.sequence << 8 ^ id.partition);
  }
};
template <>
struct std::hash<sluice::recordlog::ChunkKey> {
  std::size_t operator()(const sluice::recordlog::ChunkKey& key) const noexcept {
    return sluice::recordlog::mix(std::hash<sluice::recordlog::SegmentId>{}(key.segment) ^
                                  key.position);
  }
};

namespace sluice::recordlog {

struct LogMetrics {
  explicit LogMetrics(Metrics& metrics)
      : records(
            metrics.counter("sluice_recordlog_appended_records_total", "Records stored durably.")),
        bytes(metrics.counter("sluice_recordlog_appended_bytes_total",
                              "Bytes written to segments, frames included.")),
        groups(metrics.counter("sluice_recordlog_synced_groups_total",
                               "Commit groups: one write and one sync each.")),
        failures(metrics.counter("sluice_recordlog_failed_groups_total",
                                 "Commit groups that a disk error refused.")),
        sync_seconds(metrics.histogram_s("sluice_recordlog_sync_seconds",
                                         "Time of writing and syncing one commit group.")),
        segments(metrics.gauge("sluice_recordlog_segments", "Segment files.")),
        segment_bytes(metrics.gauge("sluice_recordlog_bytes", "Bytes in all segment files.")),
        queue_bytes(metrics.gauge("sluice_recordlog_append_queue_bytes",
                                  "Bytes of records waiting for the disk.")) {}
  Counter records;
  Counter bytes;
  Counter groups;
  Counter failures;
  Histogram sync_seconds;
  Gauge segments;
  Gauge segment_bytes;
  Gauge queue_bytes;
};

// Which organisations have readers. Threads: any.
class ReaderCounts {
 public:
  void add(OrganisationId organisation) {
    const MutexLock lock(mutex_);
    ++counts_[organisation];
  }
  void remove(OrganisationId organisation) {
    const MutexLock lock(mutex_);
    const auto found = counts_.find(organisation);
    if (--found->second == 0) counts_.erase(found);
  }
  bool any(OrganisationId organisation) const {
    const MutexLock lock(mutex_);
    return counts_.contains(organisation);
  }

 private:
  mutable Mutex mutex_;
  FlatMap<OrganisationId, std::uint32_t> counts_ SLUICE_GUARDED_BY(mutex_);
};

// A frame up to this size is small: `LogContext::chunks` has none of them.
inline constexpr std::uint32_t kSmallFrameMax = 16 * 1024;

// Who is told of what was stored. Once another is set, nobody is within the one before. Threads:
// any; those that tell do not wait for each other.
class ObserverSlot {
 public:
  void set(AppendObserver* observer) {
    const std::unique_lock lock(mutex_);
    observer_ = observer;
  }
  void tell(std::span<const AppendObserver::Appended> appended) const {
    const std::shared_lock lock(mutex_);
    if (observer_ != nullptr) observer_->on_appended(appended);
  }

 private:
  mutable std::shared_mutex mutex_;
  AppendObserver* observer_ = nullptr;
};

struct LogContext {
  static constexpr std::uint64_t kOpenFilesMax = 256;

  LogContext(LocalSettings settings_in, LocalDependencies dependencies,
             std::unique_ptr<Quarantine> quarantine_in)
      : settings(std::move(settings_in)),
        fs(dependencies.fs),
        clock(dependencies.clock),
        metrics(dependencies.metrics),
        reserve(dependencies.reserve),
        quarantine(std::move(quarantine_in)),
        files(kOpenFilesMax),
        indexes(settings.index_cache_bytes_max),
        chunks(settings.chunk_cache_bytes_max),
        budget(settings.bytes_max, dependencies.metrics),
        marks(settings.request_keys_max, settings.request_keys_kept_s, dependencies.metrics) {}

  std::string partition_directory(std::uint32_t partition) const {
    return settings.directory + "/p" + std::to_string(partition);
  }
  std::string segment_path(SegmentId id) const {
    return partition_directory(id.partition) + "/" + segment_name(id.sequence);
  }
  // For reading; from the cache or opened. NotFound: retention was faster.
  Result<std::shared_ptr<const File>> open_segment(SegmentId id);

  const LocalSettings settings;
  FileSystem& fs;
  const Clock& clock;
  LogMetrics metrics;
  const DiskReserve* const reserve;
  const std::unique_ptr<Quarantine> quarantine;
  LruCache<SegmentId, const File> files;  // open for reading
  LruCache<SegmentId, const SegmentIndex> indexes;
  LruCache<ChunkKey, const Chunk> chunks;
  ReaderCounts readers;
  DiskBudget budget;
  MarkTable marks;
  std::unique_ptr<RetentionGuard> retention_guard;  // from recovery on
  ObserverSlot observer;
  std::atomic<std::uint64_t> queue_bytes = 0;
};

inline Result<std::shared_ptr<const File>> LogContext::open_segment(SegmentId id) {
  if (auto cached = files.get(id)) return cached;
  Result<std::unique_ptr<File>> opened = fs.open(segment_path(id), OpenMode::Read);
  if (!opened) return opened.error();
  std::shared_ptr<const File> file = *std::move(opened);
  files.put(id, file, 1);
  return file;
}

}  // namespace sluice::recordlog
