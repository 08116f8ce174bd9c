#include "recordlog/local/recent_frames.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace sluice::recordlog {

void RecentFrames::add(std::uint64_t sequence, std::vector<Frame> frames,
                       std::shared_ptr<const std::byte[]> memory, std::uint64_t bytes) {
  if (bytes > bytes_max_ || frames.empty()) return;
  std::vector<Group> dropped;  // destroyed after the lock is released
  const MutexLock lock(mutex_);
  while (bytes_ + bytes > bytes_max_) {
    bytes_ -= groups_.front().bytes;
    dropped.push_back(std::move(groups_.front()));
    groups_.pop_front();
  }
  groups_.push_back({sequence, std::move(frames), std::move(memory), bytes});
  bytes_ += bytes;
}

std::vector<std::shared_ptr<const std::byte>> RecentFrames::find(
    std::uint64_t sequence, std::span<const IndexEntry> entries) const {
  std::vector<std::shared_ptr<const std::byte>> found(entries.size());
  const MutexLock lock(mutex_);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    found[i] = find_one(sequence, entries[i].position);
  }
  return found;
}

std::shared_ptr<const std::byte> RecentFrames::find_one(std::uint64_t sequence,
                                                        std::uint32_t position) const {
  const auto behind =
      std::upper_bound(groups_.begin(), groups_.end(), std::tuple(sequence, position),
                       [](const auto& wanted, const Group& group) {
                         return wanted < std::tuple(group.sequence, group.frames.front().position);
                       });
  if (behind == groups_.begin()) return nullptr;
  const Group& group = *std::prev(behind);
  if (group.sequence != sequence) return nullptr;
  const auto frame = std::lower_bound(
      group.frames.begin(), group.frames.end(), position,
      [](const Frame& before, std::uint32_t wanted) { return before.position < wanted; });
  if (frame == group.frames.end() || frame->position != position) return nullptr;
  return {group.memory, frame->bytes};
}

}  // namespace sluice::recordlog
