#pragma once
// The floor's storage: one preallocated file, group commit on a thread of its own, and the list of
// what lies where, for the sender. No checksums, no index, no recovery, no retention.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sluice::bench {

inline constexpr std::uint64_t kBatchRecordsMax = 3000;
inline constexpr std::uint64_t kBatchBytesMax = 5 << 20;

// Records as they lie in the file: each followed by a comma.
struct Block {
  std::uint64_t at = 0;  // in the file
  std::uint32_t bytes = 0;
  std::uint32_t records = 0;
  const char* data = nullptr;    // nullptr: no longer in memory, read the file
  std::shared_ptr<char[]> keep;  // owns `data`
};

class FloorLog {
 public:
  // Creates DIR/floor.log anew. on_synced() is called on the commit thread, once a group.
  FloorLog(const std::string& directory, std::function<void()> on_synced);

  // `stored` is called on the commit thread when the block is on disk. Any thread.
  void append(Block block, std::function<void()> stored);

  // The next batch behind block number `cursor`, at most kBatchRecordsMax and kBatchBytesMax; the
  // blocks are neighbours in the file. Empty: nothing more is on disk.
  std::vector<Block> next_batch(std::uint64_t cursor);
  // No stream will ask for blocks before `cursor` again.
  void forget_before(std::uint64_t cursor);
  std::uint64_t end();  // number of the next block
  void read(std::uint64_t at, char* into, std::size_t bytes) const;

 private:
  struct Waiting {
    Block block;
    std::function<void()> stored;
  };

  void commit_for_ever();
  void write(std::vector<Waiting>& group);
  void publish(std::vector<Block> blocks);
  static std::vector<Block> merge_small(std::vector<Waiting>& group);

  const int fd_;
  const std::function<void()> on_synced_;
  std::uint64_t size_ = 0;  // commit thread only
  std::uint64_t preallocated_ = 0;

  std::mutex waiting_mutex_;
  std::condition_variable waiting_changed_;
  std::vector<Waiting> waiting_;

  std::mutex blocks_mutex_;
  std::deque<Block> blocks_;  // on disk
  std::uint64_t first_block_ = 0;
  std::uint64_t first_in_memory_ = 0;  // number of a block
  std::uint64_t bytes_in_memory_ = 0;
};

}  // namespace sluice::bench
