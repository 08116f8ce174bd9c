#include "base/disk_reserve.h"

#include <sys/uio.h>

#include <filesystem>
#include <utility>

#include "base/logging.h"
#include "base/threads.h"

namespace sluice {
namespace {

class FileWithReserve final : public File {
 public:
  FileWithReserve(std::unique_ptr<File> file, DiskReserve& reserve)
      : file_(std::move(file)), reserve_(reserve) {}

  Result<void> write_at(std::uint64_t position, std::span<const iovec> buffers) override {
    return with_reserve(reserve_, [&] { return file_->write_at(position, buffers); });
  }
  Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) const override {
    return file_->read_at(position, into);
  }
  Result<void> sync_data() override {
    Result<void> synced = file_->sync_data();
    if (!synced && synced.error().code == ErrorCode::ResourceExhausted) reserve_.give_up();
    return synced;
  }
  Result<void> preallocate(std::uint64_t bytes) override { return file_->preallocate(bytes); }
  Result<void> truncate(std::uint64_t bytes) override { return file_->truncate(bytes); }
  Result<std::uint64_t> size() const override { return file_->size(); }

 private:
  const std::unique_ptr<File> file_;
  DiskReserve& reserve_;
};

}  // namespace

DiskReserve::DiskReserve(FileSystem& fs, Options options, Metrics& metrics)
    : fs_(fs),
      options_(std::move(options)),
      directory_(std::filesystem::path(options_.path).parent_path().string()),
      bytes_(metrics.gauge("sluice_disk_reserve_bytes",
                           "Disk space held back for the stream journal and the catalog; 0 while "
                           "the disk is full, when ingest is refused.")) {
  if (Result<void> made = make()) {
    set_there(true);
  } else {
    logging::error("there is no room for the disk reserve: ingest is refused until there is",
                   {{"reason", made.error().message}, {"bytes", options_.bytes}});
  }
  thread_ = std::thread([this] {
    name_this_thread("reserve");
    run();
  });
}

DiskReserve::~DiskReserve() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void DiskReserve::set_there(bool there) {
  there_ = there;
  bytes_.set(there ? static_cast<double>(options_.bytes) : 0);
}

bool DiskReserve::has_room() const {
  std::error_code unknown;
  const std::filesystem::space_info disk = std::filesystem::space(directory_, unknown);
  return unknown || disk.available >= options_.bytes + options_.bytes / 4;
}

Result<void> DiskReserve::make() {
  auto file = fs_.open(options_.path, OpenMode::ReadWrite);
  const bool is_new = !file && file.error().code == ErrorCode::NotFound;
  if (is_new && !has_room()) return Error{ErrorCode::ResourceExhausted, "the disk is full"};
  if (is_new) file = fs_.open(options_.path, OpenMode::CreateNew);
  if (!file) return file.error();
  Result<void> done = (*file)->truncate(options_.bytes);
  if (done) done = (*file)->preallocate(options_.bytes);
  if (!done) (void)fs_.remove(options_.path);
  return done;
}

void DiskReserve::give_up() {
  const MutexLock lock(mutex_);
  if (!is_there()) return;
  set_there(false);
  Result<void> removed = fs_.remove(options_.path);
  if (removed) removed = fs_.sync_directory(directory_);  // some free the blocks only then
  logging::error("the disk is full: its reserve goes to the journal and the catalog, ingest waits",
                 {{"bytes", options_.bytes},
                  {"free_to_go_on", options_.bytes + options_.bytes / 4},
                  {"removed", removed ? std::string("yes") : removed.error().message}});
  changed_.notify_one();
}

void DiskReserve::run() {
  const MutexLock lock(mutex_);
  while (!stopping_) {
    if (is_there()) {
      changed_.wait(mutex_);
      continue;
    }
    changed_.wait_until(mutex_, std::chrono::steady_clock::now() + options_.look_every);
    if (stopping_ || is_there() || !has_room() || !make()) continue;
    set_there(true);
    logging::info("the disk has room again: the reserve is back", {{"bytes", options_.bytes}});
  }
}

Result<std::unique_ptr<File>> FileSystemWithReserve::open(const std::string& path, OpenMode mode) {
  auto file = with_reserve(reserve_, [&] { return fs_.open(path, mode); });
  if (!file) return file;
  return std::unique_ptr<File>(std::make_unique<FileWithReserve>(*std::move(file), reserve_));
}

Result<void> FileSystemWithReserve::rename(const std::string& from, const std::string& to) {
  return with_reserve(reserve_, [&] { return fs_.rename(from, to); });
}

Result<void> FileSystemWithReserve::sync_directory(const std::string& directory) {
  Result<void> synced = fs_.sync_directory(directory);
  if (!synced && synced.error().code == ErrorCode::ResourceExhausted) reserve_.give_up();
  return synced;
}

Result<void> FileSystemWithReserve::create_directories(const std::string& directory) {
  return with_reserve(reserve_, [&] { return fs_.create_directories(directory); });
}

}  // namespace sluice
