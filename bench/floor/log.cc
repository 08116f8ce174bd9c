#include "floor/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "wire.h"

namespace sluice::bench {
namespace {

constexpr std::uint64_t kPreallocationStep = 256 << 20;
constexpr std::uint64_t kBytesInMemoryMax = 64 << 20;
constexpr std::uint32_t kSmallBlockBytes = 64 << 10;  // below: copied together into one
constexpr std::uint32_t kMergedBlockBytes = 256 << 10;
constexpr std::uint32_t kMergedBlockRecords = 500;

int create(const std::string& path) {
  const int fd = open(path.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) die("cannot create " + path, true);
  return fd;
}

}  // namespace

FloorLog::FloorLog(const std::string& directory, std::function<void()> on_synced)
    : fd_(create(directory + "/floor.log")), on_synced_(std::move(on_synced)) {
  std::thread([this] { commit_for_ever(); }).detach();
}

void FloorLog::append(Block block, std::function<void()> stored) {
  const std::lock_guard lock(waiting_mutex_);
  waiting_.push_back({std::move(block), std::move(stored)});
  waiting_changed_.notify_one();
}

void FloorLog::commit_for_ever() {
  pthread_setname_np(pthread_self(), "commit");
  for (;;) {
    std::vector<Waiting> group;
    {
      std::unique_lock lock(waiting_mutex_);
      waiting_changed_.wait(lock, [&] { return !waiting_.empty(); });
      group.swap(waiting_);
    }
    write(group);
    for (const Waiting& waiting : group) waiting.stored();
    on_synced_();
  }
}

void FloorLog::write(std::vector<Waiting>& group) {
  std::vector<Block> blocks = merge_small(group);
  std::vector<iovec> vectors;
  std::uint64_t end = size_;
  for (Block& block : blocks) {
    block.at = end;
    end += block.bytes;
    vectors.push_back({const_cast<char*>(block.data), block.bytes});
  }
  while (preallocated_ < end) {
    if (posix_fallocate(fd_, static_cast<off_t>(preallocated_), kPreallocationStep) != 0) {
      die("cannot preallocate the log");
    }
    preallocated_ += kPreallocationStep;
  }
  for (std::size_t i = 0; i < vectors.size();) {
    const auto count = std::min<std::size_t>(vectors.size() - i, IOV_MAX);
    const ssize_t written =
        pwritev(fd_, &vectors[i], static_cast<int>(count), static_cast<off_t>(size_));
    if (written < 0) die("cannot write the log", true);
    size_ += static_cast<std::uint64_t>(written);
    for (auto left = static_cast<std::size_t>(written); left > 0;) {
      const std::size_t step = std::min(left, vectors[i].iov_len);
      vectors[i].iov_base = static_cast<char*>(vectors[i].iov_base) + step;
      vectors[i].iov_len -= step;
      left -= step;
      if (vectors[i].iov_len == 0) ++i;
    }
  }
  if (fdatasync(fd_) != 0) die("cannot sync the log", true);
  publish(std::move(blocks));
}

// One block a body would make the lists of small bodies long.
std::vector<Block> FloorLog::merge_small(std::vector<Waiting>& group) {
  std::vector<Block> blocks;
  bool open = false;  // the last block is a merged one
  std::uint32_t small_bytes_left = 0;
  for (const Waiting& waiting : group) {
    if (waiting.block.bytes < kSmallBlockBytes) small_bytes_left += waiting.block.bytes;
  }
  for (Waiting& waiting : group) {
    Block& block = waiting.block;
    if (block.bytes >= kSmallBlockBytes) {
      blocks.push_back(std::move(block));
      open = false;
      continue;
    }
    if (!open || blocks.back().bytes + block.bytes > kMergedBlockBytes ||
        blocks.back().records + block.records > kMergedBlockRecords) {
      Block merged;
      merged.keep =
          std::make_shared_for_overwrite<char[]>(std::min(kMergedBlockBytes, small_bytes_left));
      merged.data = merged.keep.get();
      blocks.push_back(std::move(merged));
      open = true;
    }
    Block& merged = blocks.back();
    std::memcpy(merged.keep.get() + merged.bytes, block.data, block.bytes);
    merged.bytes += block.bytes;
    merged.records += block.records;
    small_bytes_left -= block.bytes;
    block.keep.reset();
  }
  return blocks;
}

void FloorLog::publish(std::vector<Block> blocks) {
  const std::lock_guard lock(blocks_mutex_);
  for (Block& block : blocks) {
    bytes_in_memory_ += block.bytes;
    blocks_.push_back(std::move(block));
  }
  first_in_memory_ = std::max(first_in_memory_, first_block_);
  while (bytes_in_memory_ > kBytesInMemoryMax) {
    Block& oldest = blocks_[first_in_memory_ - first_block_];
    bytes_in_memory_ -= oldest.bytes;
    oldest.data = nullptr;
    oldest.keep.reset();
    ++first_in_memory_;
  }
}

std::vector<Block> FloorLog::next_batch(std::uint64_t cursor) {
  std::vector<Block> batch;
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  const std::lock_guard lock(blocks_mutex_);
  for (std::size_t i = cursor - first_block_; i < blocks_.size(); ++i) {
    bytes += blocks_[i].bytes;
    records += blocks_[i].records;
    if (!batch.empty() && (records > kBatchRecordsMax || bytes > kBatchBytesMax)) break;
    batch.push_back(blocks_[i]);
  }
  return batch;
}

void FloorLog::forget_before(std::uint64_t cursor) {
  const std::lock_guard lock(blocks_mutex_);
  for (; first_block_ < cursor; ++first_block_) {
    if (blocks_.front().data != nullptr) bytes_in_memory_ -= blocks_.front().bytes;
    blocks_.pop_front();
  }
}

std::uint64_t FloorLog::end() {
  const std::lock_guard lock(blocks_mutex_);
  return first_block_ + blocks_.size();
}

void FloorLog::read(std::uint64_t at, char* into, std::size_t bytes) const {
  while (bytes > 0) {
    const ssize_t got = pread(fd_, into, bytes, static_cast<off_t>(at));
    if (got <= 0) die("cannot read the log back", true);
    at += static_cast<std::uint64_t>(got);
    into += got;
    bytes -= static_cast<std::size_t>(got);
  }
}

}  // namespace sluice::bench
