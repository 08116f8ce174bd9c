#pragma once
// How much disk the log's segments take, and how much they may.

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "base/logging.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "recordlog/local/local_log.h"

namespace sluice::recordlog {

// Threads: any.
class DiskBudget {
 public:
  DiskBudget(std::uint64_t bytes_max, Metrics& metrics)
      : bytes_max_(bytes_max),
        early_(metrics.counter("sluice_recordlog_early_deleted_segments_total",
                               "Segments deleted before their age because the log was as large as "
                               "it may be; every stream had passed all their records.")),
        full_(metrics.gauge("sluice_recordlog_full",
                            "1 while the log is as large as it may be and cannot grow.")) {
    metrics
        .gauge("sluice_recordlog_bytes_max",
               "Bytes that segment files may take on disk; 0: no limit.")
        .set(static_cast<double>(bytes_max));
  }

  std::uint64_t bytes_max() const { return bytes_max_; }
  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }

  // For a new segment. False: it would be too much.
  bool take(std::uint64_t bytes) {
    const std::uint64_t before = used_.fetch_add(bytes);
    const bool too_much = bytes_max_ > 0 && before + bytes > bytes_max_;
    if (too_much) used_.fetch_sub(bytes);
    if (someone_waits_.exchange(too_much) == too_much) return !too_much;
    full_.set(too_much ? 1 : 0);
    if (too_much) logging::error("the log is as large as it may be", {{"bytes", bytes_max_}});
    return !too_much;
  }
  // What is there already, or what a segment turned out to take.
  void add(std::uint64_t bytes) { used_.fetch_add(bytes); }
  void give_back(std::uint64_t bytes) { used_.fetch_sub(bytes); }
  // Whether a partition was refused so many bytes and there still is no room for them.
  bool is_missed(std::uint64_t bytes) const {
    return someone_waits_.load(std::memory_order_relaxed) && used() + bytes > bytes_max_;
  }
  void count_early_deletion() { early_.add(); }

  void set_lowest_cursors(std::function<std::optional<LowestCursors>()> ask) {
    const MutexLock lock(mutex_);
    ask_ = std::move(ask);
  }
  // None: nobody knows, so nothing may be deleted early.
  std::optional<LowestCursors> lowest_cursors() const {
    const MutexLock lock(mutex_);
    return ask_ ? ask_() : std::nullopt;
  }

 private:
  const std::uint64_t bytes_max_;
  Counter early_;
  Gauge full_;
  std::atomic<std::uint64_t> used_ = 0;
  std::atomic<bool> someone_waits_ = false;
  mutable Mutex mutex_;  // held while asking, so that who set it to nothing may go
  std::function<std::optional<LowestCursors>()> ask_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::recordlog
