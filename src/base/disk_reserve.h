#pragma once
// Disk space held back for what must go on when the disk is full.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "base/fs.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/units.h"

namespace sluice {

// A file of allocated blocks that is deleted when a writer who may not stand still finds the disk
// full, and made again when there is room for it and a quarter more: looked for once a second, on
// a thread of its own. It stays on disk when the process ends. Threads: any.
class DiskReserve {
 public:
  struct Options {
    std::string path;
    std::uint64_t bytes = 64 * kMiB;
    std::chrono::milliseconds look_every{1000};
  };
  // `fs` and `metrics` outlive it. Without room for the file it begins given up.
  DiskReserve(FileSystem& fs, Options options, Metrics& metrics);
  ~DiskReserve();

  // False: it has been given up, so who can stand still writes nothing now.
  bool is_there() const { return there_.load(std::memory_order_relaxed); }
  // Returns when its room is free for others, if it was there. Blocks.
  void give_up();

 private:
  Result<void> make();
  bool has_room() const;
  void set_there(bool there);
  void run();

  FileSystem& fs_;
  const Options options_;
  const std::string directory_;
  Gauge bytes_;
  std::atomic<bool> there_ = false;
  // Held while the file is made or deleted: who finds the disk full waits for the room.
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ SLUICE_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Does `write` again, once, if it found the disk full.
template <class Write>
auto with_reserve(DiskReserve& reserve, const Write& write) {
  auto result = write();
  if (result || result.error().code != ErrorCode::ResourceExhausted) return result;
  reserve.give_up();
  return write();
}

// The files of those for whom the reserve is. Only preallocate() does not draw on it: who wants
// space in advance can wait. Nor is a failed sync done again, but the next write has the room.
class FileSystemWithReserve final : public FileSystem {
 public:
  // Both outlive it.
  FileSystemWithReserve(FileSystem& fs, DiskReserve& reserve) : fs_(fs), reserve_(reserve) {}

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override { return fs_.remove(path); }
  Result<void> sync_directory(const std::string& directory) override;
  Result<void> create_directories(const std::string& directory) override;
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return fs_.list(directory);
  }
  Result<bool> exists(const std::string& path) override { return fs_.exists(path); }

 private:
  FileSystem& fs_;
  DiskReserve& reserve_;
};

}  // namespace sluice
