#include "base/disk_reserve.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

namespace sluice {
namespace {

constexpr std::uint64_t kBytes = 1 * kMiB;

// When it is full, writes find that out until the reserve is gone. Preallocating finds it anyway.
class FullDisk final : public FileSystem {
 public:
  explicit FullDisk(std::string reserve) : reserve_(std::move(reserve)) {}
  std::atomic<bool> full = false;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    if (mode == OpenMode::CreateNew && is_full()) return no_room();
    auto file = disk_.open(path, mode);
    if (!file) return file;
    return std::unique_ptr<File>(std::make_unique<OpenFile>(*this, *std::move(file)));
  }
  Result<void> rename(const std::string& a, const std::string& b) override {
    return disk_.rename(a, b);
  }
  Result<void> remove(const std::string& path) override { return disk_.remove(path); }
  Result<void> sync_directory(const std::string& d) override { return disk_.sync_directory(d); }
  Result<void> create_directories(const std::string& d) override {
    return disk_.create_directories(d);
  }
  Result<std::vector<std::string>> list(const std::string& d) override { return disk_.list(d); }
  Result<bool> exists(const std::string& path) override { return disk_.exists(path); }

 private:
  class OpenFile final : public File {
   public:
    OpenFile(FullDisk& disk, std::unique_ptr<File> file) : disk_(disk), file_(std::move(file)) {}
    Result<void> write_at(std::uint64_t position, std::span<const iovec> buffers) override {
      if (disk_.is_full()) return no_room();
      return file_->write_at(position, buffers);
    }
    Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) const override {
      return file_->read_at(position, into);
    }
    Result<void> sync_data() override {
      if (disk_.is_full()) return no_room();
      return file_->sync_data();
    }
    Result<void> preallocate(std::uint64_t bytes) override {
      if (disk_.full) return no_room();
      return file_->preallocate(bytes);
    }
    Result<void> truncate(std::uint64_t bytes) override { return file_->truncate(bytes); }
    Result<std::uint64_t> size() const override { return file_->size(); }

   private:
    FullDisk& disk_;
    const std::unique_ptr<File> file_;
  };

  static Error no_room() { return {ErrorCode::ResourceExhausted, "no space left"}; }
  bool is_full() { return full && *disk_.exists(reserve_); }

  FileSystem& disk_ = posix_file_system();
  const std::string reserve_;
};

class Reserve : public testing::Test {
 protected:
  Reserve() : directory(testing::TempDir() + "reserve-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
  }
  ~Reserve() override { std::filesystem::remove_all(directory); }

  // Whether so much is allocated, not only the size.
  bool is_on_disk(std::uint64_t bytes) const {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return false;
    return static_cast<std::uint64_t>(status.st_size) == bytes &&
           static_cast<std::uint64_t>(status.st_blocks) * 512 >= bytes;
  }
  DiskReserve::Options options(std::uint64_t bytes = kBytes) const {
    return {.path = path, .bytes = bytes, .look_every = std::chrono::milliseconds(1)};
  }

  const std::string directory;
  const std::string path = directory + "/reserve";
  FullDisk disk{path};
  FileSystem& fs = disk;
  Metrics metrics;
};

Result<void> write(File& file, std::string text) {
  const iovec piece{text.data(), text.size()};
  return file.write_at(0, {&piece, 1});
}

TEST_F(Reserve, IsAllocatedAndStays) {
  {
    const DiskReserve reserve(fs, options(), metrics);
    EXPECT_TRUE(reserve.is_there());
    EXPECT_TRUE(is_on_disk(kBytes));
  }
  EXPECT_TRUE(is_on_disk(kBytes));
  const DiskReserve smaller(fs, options(kBytes / 2), metrics);
  EXPECT_TRUE(smaller.is_there());
  EXPECT_TRUE(is_on_disk(kBytes / 2));
}

TEST_F(Reserve, MakesRoomForAWriteAndComesBack) {
  DiskReserve reserve(fs, options(), metrics);
  FileSystemWithReserve with(fs, reserve);
  auto file = with.open(directory + "/journal", OpenMode::CreateNew);
  ASSERT_TRUE(file);
  disk.full = true;
  EXPECT_TRUE(write(**file, "entry"));
  EXPECT_FALSE(reserve.is_there());
  EXPECT_FALSE(is_on_disk(kBytes));
  EXPECT_EQ(metrics.gauge("sluice_disk_reserve_bytes", "").value(), 0);
  EXPECT_TRUE((*file)->sync_data());
  disk.full = false;
  while (!reserve.is_there()) std::this_thread::yield();
  EXPECT_TRUE(is_on_disk(kBytes));
}

TEST_F(Reserve, MakesRoomForANewFile) {
  DiskReserve reserve(fs, options(), metrics);
  FileSystemWithReserve with(fs, reserve);
  disk.full = true;
  EXPECT_TRUE(with.open(directory + "/journal", OpenMode::CreateNew));
  EXPECT_FALSE(reserve.is_there());
}

TEST_F(Reserve, IsNotForWhatCanWait) {
  DiskReserve reserve(fs, options(), metrics);
  FileSystemWithReserve with(fs, reserve);
  auto file = with.open(directory + "/segment", OpenMode::CreateNew);
  ASSERT_TRUE(file);
  disk.full = true;
  EXPECT_FALSE((*file)->preallocate(4096));
  EXPECT_TRUE(reserve.is_there());
}

TEST_F(Reserve, AFailedSyncIsNotDoneAgain) {
  DiskReserve reserve(fs, options(), metrics);
  FileSystemWithReserve with(fs, reserve);
  auto file = with.open(directory + "/journal", OpenMode::CreateNew);
  ASSERT_TRUE(file && write(**file, "entry"));
  disk.full = true;
  EXPECT_FALSE((*file)->sync_data());
  EXPECT_FALSE(reserve.is_there());
}

TEST_F(Reserve, BeginsGivenUpWithoutRoom) {
  disk.full = true;
  const DiskReserve reserve(fs, options(), metrics);
  EXPECT_FALSE(reserve.is_there());
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace sluice
