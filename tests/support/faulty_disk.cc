#include "support/faulty_disk.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace sluice::testing {
namespace {

constexpr std::uint64_t kSector = 512;
using Sector = std::array<char, kSector>;

// Sparse: a sector that is not there reads as zeros.
struct Content {
  std::uint64_t size = 0;
  std::map<std::uint64_t, Sector> sectors;
};

void copy_sector(const Content& from, Content& to, std::uint64_t number) {
  const auto found = from.sectors.find(number);
  if (found == from.sectors.end()) {
    to.sectors.erase(number);
  } else {
    to.sectors[number] = found->second;
  }
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Error io_error(const std::string& what, const std::string& path) {
  return {ErrorCode::Io, fmt::format("{} {}", what, path)};
}

}  // namespace

struct FaultyDisk::Inode {
  bool is_directory = false;
  Content seen;     // through the page cache
  Content durable;  // on stable storage
  std::set<std::uint64_t> dirty;
  std::uint64_t kept = 0;  // bytes of `durable` that no truncation has cut off since

  void sync() {
    sync_size();
    for (const std::uint64_t number : dirty) copy_sector(seen, durable, number);
    dirty.clear();
  }
  // What a failed sync or a power cut leaves. A truncation is there whole or not at all, and
  // nothing written behind it is there without it: file systems keep these in order.
  void sync_some(std::mt19937_64& random) {
    const auto coin = [&random] { return (random() & 1) != 0; };
    const bool truncated = kept < durable.size;
    const std::uint64_t end = kept;
    const bool resized = coin();
    if (resized) sync_size();
    for (const std::uint64_t number : dirty) {
      if ((resized || !truncated || number * kSector < end) && coin()) {
        copy_sector(seen, durable, number);
      }
    }
    dirty.clear();
  }
  void sync_size() {
    durable.sectors.erase(durable.sectors.lower_bound((kept + kSector - 1) / kSector),
                          durable.sectors.end());
    kept = durable.size = seen.size;
  }
  void resize(std::uint64_t size) {
    if (size < seen.size) {
      kept = std::min(kept, size);
      for (auto it = seen.sectors.lower_bound(size / kSector); it != seen.sectors.end();) {
        if (it->first * kSector >= size) {
          dirty.erase(it->first);
          it = seen.sectors.erase(it);
        } else {
          dirty.insert(it->first);
          std::memset(it->second.data() + size % kSector, 0, kSector - size % kSector);
          ++it;
        }
      }
    }
    seen.size = size;
  }
  void write(std::uint64_t position, const char* bytes, std::size_t count) {
    while (count > 0) {
      const std::uint64_t number = position / kSector;
      const std::size_t at = position % kSector;
      const std::size_t part = std::min<std::size_t>(count, kSector - at);
      std::memcpy(seen.sectors[number].data() + at, bytes, part);
      dirty.insert(number);
      position += part;
      bytes += part;
      count -= part;
    }
    seen.size = std::max(seen.size, position);
  }
};

class FaultyDisk::OpenFile final : public File {
 public:
  OpenFile(FaultyDisk& disk, InodePtr inode, std::string path, bool writable,
           std::uint64_t generation)
      : disk_(disk),
        inode_(std::move(inode)),
        path_(std::move(path)),
        writable_(writable),
        generation_(generation) {}

  Result<void> write_at(std::uint64_t position, std::span<const iovec> buffers) override {
    const MutexLock lock(disk_.mutex_);
    const Result<void> begun = begin(DiskOperation::Write);
    if (!begun && !disk_.fault_.torn) return begun;
    std::string bytes;
    for (const iovec& buffer : buffers) {
      bytes.append(static_cast<const char*>(buffer.iov_base), buffer.iov_len);
    }
    if (begun) {
      inode_->write(position, bytes.data(), bytes.size());
      return {};
    }
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t part =
          std::min<std::size_t>(bytes.size() - at, kSector - (position + at) % kSector);
      if (disk_.coin()) inode_->write(position + at, bytes.data() + at, part);
      at += part;
    }
    return begun;
  }

  Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) const override {
    const MutexLock lock(disk_.mutex_);
    if (auto begun = begin(DiskOperation::Read); !begun) return begun.error();
    if (position >= inode_->seen.size) return std::size_t{0};
    const std::size_t count = std::min<std::uint64_t>(into.size(), inode_->seen.size - position);
    std::memset(into.data(), 0, count);
    const std::uint64_t end = position + count;
    const auto& sectors = inode_->seen.sectors;
    for (auto it = sectors.lower_bound(position / kSector);
         it != sectors.end() && it->first * kSector < end; ++it) {
      const std::uint64_t from = std::max(position, it->first * kSector);
      const std::uint64_t to = std::min(end, (it->first + 1) * kSector);
      std::memcpy(into.data() + (from - position), it->second.data() + from % kSector, to - from);
    }
    return count;
  }

  Result<void> sync_data() override {
    const MutexLock lock(disk_.mutex_);
    ++disk_.syncs_;
    if (auto begun = begin(DiskOperation::Sync); !begun) {
      if (!alive()) return begun;
      inode_->sync_some(disk_.random_);
      return begun;
    }
    inode_->sync();
    return {};
  }

  Result<void> preallocate(std::uint64_t bytes) override {
    const MutexLock lock(disk_.mutex_);
    if (auto begun = begin(DiskOperation::Preallocate); !begun) return begun;
    inode_->resize(std::max(bytes, inode_->seen.size));
    return {};
  }

  Result<void> truncate(std::uint64_t bytes) override {
    const MutexLock lock(disk_.mutex_);
    if (auto begun = begin(DiskOperation::Truncate); !begun) return begun;
    inode_->resize(bytes);
    return {};
  }

  Result<std::uint64_t> size() const override {
    const MutexLock lock(disk_.mutex_);
    if (!alive()) return io_error("the power is off:", path_);
    return inode_->seen.size;
  }

 private:
  bool alive() const SLUICE_REQUIRES(disk_.mutex_) {
    return disk_.powered_ && disk_.generation_ == generation_;
  }
  Result<void> begin(DiskOperation operation) const SLUICE_REQUIRES(disk_.mutex_) {
    if (!alive()) return io_error("the power is off:", path_);
    if (!writable_ && operation != DiskOperation::Read) {
      return io_error("not open for writing:", path_);
    }
    return disk_.begin(operation, path_);
  }

  FaultyDisk& disk_;
  const InodePtr inode_;
  const std::string path_;
  const bool writable_;
  const std::uint64_t generation_;
};

FaultyDisk::FaultyDisk(Options options) : random_(options.seed) { directories_["/"]; }
FaultyDisk::~FaultyDisk() = default;

void FaultyDisk::arm(DiskFault fault) {
  const MutexLock lock(mutex_);
  fault_ = fault;
  matched_ = 0;
  fired_ = false;
}

bool FaultyDisk::fault_fired() const {
  const MutexLock lock(mutex_);
  return fired_;
}
std::uint64_t FaultyDisk::operations() const {
  const MutexLock lock(mutex_);
  return operations_;
}
std::uint64_t FaultyDisk::sync_operations() const {
  const MutexLock lock(mutex_);
  return syncs_;
}

void FaultyDisk::power_off() {
  const MutexLock lock(mutex_);
  powered_ = false;
}

void FaultyDisk::lose_unsynced(Inode& inode) {
  inode.sync_some(random_);
  const std::uint64_t size = inode.durable.size;
  inode.seen = inode.durable;
  inode.seen.size = std::numeric_limits<std::uint64_t>::max();
  inode.resize(size);  // nothing of a sector shows beyond the end
  inode.durable = inode.seen;
  inode.kept = size;
  inode.dirty.clear();
}

void FaultyDisk::power_on() {
  const MutexLock lock(mutex_);
  if (powered_) return;
  for (auto& [path, directory] : directories_) {
    for (Change& change : directory.changes) {
      if (!coin()) continue;
      if (!change.old_name.empty()) directory.durable.erase(change.old_name);
      if (change.inode) {
        directory.durable[change.name] = change.inode;
      } else {
        directory.durable.erase(change.name);
      }
    }
    directory.changes.clear();
    directory.entries = directory.durable;
  }
  // A directory whose own entry was lost takes everything below it along.
  for (auto it = directories_.begin(); it != directories_.end();) {
    const bool lost = it->first != "/" && find(it->first) == nullptr;
    it = lost ? directories_.erase(it) : std::next(it);
  }
  for (auto& [path, directory] : directories_) {
    for (auto& [name, inode] : directory.entries) lose_unsynced(*inode);
  }
  powered_ = true;
  ++generation_;
  fault_ = {};
}

void FaultyDisk::revive() {
  const MutexLock lock(mutex_);
  powered_ = true;
  ++generation_;
  fault_ = {};
}

Result<void> FaultyDisk::begin(DiskOperation operation, const std::string& path) {
  if (!powered_) return io_error("the power is off:", path);
  if ((mask(operation) & kChangingOperations) != 0) ++operations_;
  if ((mask(operation) & fault_.operations) == 0 || fault_.number == 0) return {};
  ++matched_;
  if (matched_ < fault_.number || matched_ - fault_.number >= fault_.times) return {};
  fired_ = true;
  return Error{fault_.code, fmt::format("injected fault: {}", path)};
}

FaultyDisk::Directory* FaultyDisk::directory_of(const std::string& path) {
  const auto found = directories_.find(parent_of(path));
  return found == directories_.end() ? nullptr : &found->second;
}

FaultyDisk::InodePtr* FaultyDisk::find(const std::string& path) {
  Directory* directory = directory_of(path);
  if (directory == nullptr) return nullptr;
  const auto found = directory->entries.find(name_of(path));
  return found == directory->entries.end() ? nullptr : &found->second;
}

Result<std::unique_ptr<File>> FaultyDisk::open(const std::string& path, OpenMode mode) {
  const MutexLock lock(mutex_);
  const bool create = mode == OpenMode::CreateNew;
  if (auto begun = begin(create ? DiskOperation::Create : DiskOperation::Open, path); !begun) {
    return begun.error();
  }
  InodePtr* found = find(path);
  if (!create) {
    if (found == nullptr) return Error{ErrorCode::NotFound, "no such file: " + path};
    if ((*found)->is_directory) return io_error("is a directory:", path);
    return std::unique_ptr<File>(
        std::make_unique<OpenFile>(*this, *found, path, mode != OpenMode::Read, generation_));
  }
  if (found != nullptr) return io_error("file exists:", path);
  Directory* directory = directory_of(path);
  if (directory == nullptr) return Error{ErrorCode::NotFound, "no such directory: " + path};
  auto inode = std::make_shared<Inode>();
  directory->entries[name_of(path)] = inode;
  directory->changes.push_back({name_of(path), inode, ""});
  return std::unique_ptr<File>(std::make_unique<OpenFile>(*this, inode, path, true, generation_));
}

Result<void> FaultyDisk::rename(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  if (auto begun = begin(DiskOperation::Rename, from); !begun) return begun;
  InodePtr* found = find(from);
  if (found == nullptr) return Error{ErrorCode::NotFound, "no such file: " + from};
  if (parent_of(from) != parent_of(to)) return io_error("rename across directories:", from);
  Directory& directory = *directory_of(from);
  const InodePtr inode = *found;
  directory.entries.erase(name_of(from));
  directory.entries[name_of(to)] = inode;
  directory.changes.push_back({name_of(to), inode, name_of(from)});
  return {};
}

Result<void> FaultyDisk::remove(const std::string& path) {
  const MutexLock lock(mutex_);
  if (auto begun = begin(DiskOperation::Remove, path); !begun) return begun;
  InodePtr* found = find(path);
  if (found == nullptr) return Error{ErrorCode::NotFound, "no such file: " + path};
  if ((*found)->is_directory) return io_error("is a directory:", path);
  Directory& directory = *directory_of(path);
  directory.entries.erase(name_of(path));
  directory.changes.push_back({name_of(path), nullptr, ""});
  return {};
}

Result<void> FaultyDisk::sync_directory(const std::string& directory) {
  const MutexLock lock(mutex_);
  ++syncs_;
  if (auto begun = begin(DiskOperation::SyncDirectory, directory); !begun) return begun;
  const auto found = directories_.find(directory);
  if (found == directories_.end()) {
    return Error{ErrorCode::NotFound, "no such directory: " + directory};
  }
  found->second.durable = found->second.entries;
  found->second.changes.clear();
  return {};
}

Result<void> FaultyDisk::create_directories(const std::string& directory) {
  const MutexLock lock(mutex_);
  if (auto begun = begin(DiskOperation::CreateDirectories, directory); !begun) return begun;
  if (directory.empty() || directory[0] != '/') return io_error("not an absolute path:", directory);
  for (std::size_t slash = directory.find('/', 1);; slash = directory.find('/', slash + 1)) {
    const std::string path = directory.substr(0, slash);
    if (path.size() > 1 && !directories_.contains(path)) {
      if (find(path) != nullptr) return io_error("is a file:", path);
      auto inode = std::make_shared<Inode>();
      inode->is_directory = true;
      Directory& parent = *directory_of(path);
      parent.entries[name_of(path)] = inode;
      parent.changes.push_back({name_of(path), inode, ""});
      directories_[path];
    }
    if (slash == std::string::npos) return {};
  }
}

Result<std::vector<std::string>> FaultyDisk::list(const std::string& directory) {
  const MutexLock lock(mutex_);
  if (auto begun = begin(DiskOperation::List, directory); !begun) return begun.error();
  const auto found = directories_.find(directory);
  if (found == directories_.end()) {
    return Error{ErrorCode::NotFound, "no such directory: " + directory};
  }
  std::vector<std::string> names;
  for (const auto& [name, inode] : found->second.entries) names.push_back(name);
  return names;
}

Result<bool> FaultyDisk::exists(const std::string& path) {
  const MutexLock lock(mutex_);
  if (!powered_) return io_error("the power is off:", path);
  return directories_.contains(path) || find(path) != nullptr;
}

}  // namespace sluice::testing
