#pragma once
// Whether the wall clock can be trusted enough to delete by it.

#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/fs.h"
#include "base/metrics.h"
#include "base/mutex.h"

namespace sluice::recordlog {

// A forward step of over an hour against the steady clock, or a start more than the retention after
// the newest record, suspends deletion for a day: more likely than 20 silent days is a clock that
// is set wrong, and what is deleted does not come back. While it is suspended there is a file that
// says so, which a restart finds (the day begins anew) and an operator deletes to confirm the
// clock. Threads: any.
class RetentionGuard {
 public:
  static constexpr const char* kFileName = "DELETION-SUSPENDED";

  struct Options {
    std::string directory;   // of the file
    WallTime newest_record;  // of the whole log; 0: none
    std::int64_t retention_s = 0;
  };
  RetentionGuard(Options options, FileSystem& fs, const Clock& clock, Metrics& metrics);

  // Call it every minute or so.
  bool may_delete();

 private:
  void read_clocks() SLUICE_REQUIRES(mutex_);
  void suspend(const std::string& reason) SLUICE_REQUIRES(mutex_);
  void write_file() SLUICE_REQUIRES(mutex_);
  bool is_over() SLUICE_REQUIRES(mutex_);

  const Options options_;
  FileSystem& fs_;
  const Clock& clock_;
  Gauge gauge_;
  Mutex mutex_;
  WallTime wall_ SLUICE_GUARDED_BY(mutex_);
  SteadyTime steady_ SLUICE_GUARDED_BY(mutex_);
  bool suspended_ SLUICE_GUARDED_BY(mutex_) = false;
  SteadyTime suspended_until_ SLUICE_GUARDED_BY(mutex_);
  std::string reason_ SLUICE_GUARDED_BY(mutex_);
  bool file_written_ SLUICE_GUARDED_BY(mutex_) = false;  // so its absence is the operator's word
};

}  // namespace sluice::recordlog
