#pragma once
// Copies of bytes that could not be read as chunks, kept for a person to look
// at, and the memory of which chunks are known to be damaged.

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "base/fs.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/result.h"

namespace sluice::recordlog {

// Threads: any.
class Quarantine {
 public:
  enum class Why : std::uint8_t {
    TornTail,  // written but never acknowledged when the process or the machine
               // stopped: normal
    Damage,    // was on stable storage once: an operator must look
  };
  struct Place {
    std::uint32_t partition = 0;
    std::uint64_t sequence = 0;
    std::uint64_t position = 0;
    auto operator<=>(const Place&) const = default;
  };

  // `directory` exists. Damage found in an earlier run counts as long as its
  // copy lies there.
  static Result<std::unique_ptr<Quarantine>> open(FileSystem& fs, std::string directory,
                                                  Metrics& metrics);

  // Copies `bytes` of `file` from place.position on and syncs the copy, once
  // for each place.
  Result<void> keep(const File& file, Place place, std::uint64_t bytes, Why why);
  bool is_damaged(Place place) const;
  std::uint64_t damaged() const;  // places

 private:
  Quarantine(FileSystem& fs, std::string directory, Gauge gauge)
      : fs_(fs), directory_(std::move(directory)), gauge_(gauge) {}
  Result<void> copy(const File& file, const std::string& name, std::uint64_t position,
                    std::uint64_t bytes);
  void note_damage(Place place);

  FileSystem& fs_;
  const std::string directory_;
  Gauge gauge_;
  std::atomic<std::uint32_t> torn_copies_ = 0;
  mutable Mutex mutex_;
  std::set<Place> damaged_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::recordlog
