#pragma once
// The small frames of a partition's last commit groups, still in the memory that they were written
// from: where many organisations write, a frame holds a record or two, and reading it from the
// file costs more than the record.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "recordlog/local/format.h"

namespace sluice::recordlog {

// Threads: any.
class RecentFrames {
 public:
  struct Frame {
    std::uint32_t position = 0;  // in the segment
    const std::byte* bytes = nullptr;
  };
  explicit RecentFrames(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Some frames of a group, by position, in `memory` of `bytes`; the segment and the positions lie
  // behind those of the group before. The oldest groups go when there is no room; a group larger
  // than all of it is not kept.
  void add(std::uint64_t sequence, std::vector<Frame> frames,
           std::shared_ptr<const std::byte[]> memory, std::uint64_t bytes);
  // Of each entry the frame, and its group's memory with it. Null: it is to be read from the file.
  std::vector<std::shared_ptr<const std::byte>> find(std::uint64_t sequence,
                                                     std::span<const IndexEntry> entries) const;

 private:
  struct Group {
    std::uint64_t sequence = 0;
    std::vector<Frame> frames;
    std::shared_ptr<const std::byte[]> memory;
    std::uint64_t bytes = 0;
  };

  std::shared_ptr<const std::byte> find_one(std::uint64_t sequence, std::uint32_t position) const
      SLUICE_REQUIRES(mutex_);

  const std::uint64_t bytes_max_;
  mutable Mutex mutex_;
  std::deque<Group> groups_ SLUICE_GUARDED_BY(mutex_);  // the oldest first
  std::uint64_t bytes_ SLUICE_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::recordlog
