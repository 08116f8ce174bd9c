#include "support/disk_vfs.h"

#include <sqlite3.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace sluice::testing {
namespace {

constexpr int kPathMax = 512;
constexpr int kSectorBytes = 4096;  // what SQLite takes for granted on Linux

struct DiskFile;

// What the open files of one path share.
struct Node {
  int users = 0;
  int shared = 0;  // that hold at least SQLITE_LOCK_SHARED
  const DiskFile* reserved = nullptr;
  const DiskFile* exclusive = nullptr;
  std::vector<std::unique_ptr<char[]>> shm;
  struct Slot {
    int shared = 0;
    const DiskFile* exclusive = nullptr;
  };
  std::array<Slot, SQLITE_SHM_NLOCK> slots;
};

struct DiskFile : sqlite3_file {
  std::unique_ptr<File> file;
  FileSystem* disk = nullptr;
  std::map<std::string, Node>* nodes = nullptr;
  Node* node = nullptr;
  std::string path;
  bool sync_directory = false;  // its name may be new
  int lock = SQLITE_LOCK_NONE;
  std::array<bool, SQLITE_SHM_NLOCK> shm_shared = {};
};

DiskFile& of(sqlite3_file* file) { return *static_cast<DiskFile*>(file); }

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

int code_of(const Result<void>& result, int failed) {
  if (result) return SQLITE_OK;
  return result.error().code == ErrorCode::ResourceExhausted ? SQLITE_FULL : failed;
}

int unlock(sqlite3_file* base, int level) {
  DiskFile& file = of(base);
  Node& node = *file.node;
  if (file.lock <= level) return SQLITE_OK;
  if (node.exclusive == &file) node.exclusive = nullptr;
  if (node.reserved == &file) node.reserved = nullptr;
  if (level == SQLITE_LOCK_NONE) --node.shared;
  file.lock = level;
  return SQLITE_OK;
}

int lock(sqlite3_file* base, int level) {
  DiskFile& file = of(base);
  Node& node = *file.node;
  if (file.lock >= level) return SQLITE_OK;
  if (node.exclusive != nullptr && node.exclusive != &file) return SQLITE_BUSY;
  if (file.lock == SQLITE_LOCK_NONE) {
    ++node.shared;
    file.lock = SQLITE_LOCK_SHARED;
  }
  if (level >= SQLITE_LOCK_RESERVED) {
    if (node.reserved != nullptr && node.reserved != &file) return SQLITE_BUSY;
    node.reserved = &file;
    file.lock = SQLITE_LOCK_RESERVED;
  }
  if (level == SQLITE_LOCK_EXCLUSIVE) {
    if (node.shared > 1) return SQLITE_BUSY;
    node.exclusive = &file;
    file.lock = SQLITE_LOCK_EXCLUSIVE;
  }
  return SQLITE_OK;
}

int check_reserved_lock(sqlite3_file* base, int* out) {
  *out = of(base).node->reserved != nullptr;
  return SQLITE_OK;
}

int close(sqlite3_file* base) {
  DiskFile& file = of(base);
  unlock(base, SQLITE_LOCK_NONE);
  if (--file.node->users == 0) file.nodes->erase(file.path);
  file.~DiskFile();
  return SQLITE_OK;
}

int read(sqlite3_file* base, void* into, int bytes, sqlite3_int64 at) {
  const std::span<char> buffer(static_cast<char*>(into), static_cast<std::size_t>(bytes));
  const auto got = of(base).file->read_at(static_cast<std::uint64_t>(at), buffer);
  if (!got) return SQLITE_IOERR_READ;
  if (*got == buffer.size()) return SQLITE_OK;
  std::memset(buffer.data() + *got, 0, buffer.size() - *got);
  return SQLITE_IOERR_SHORT_READ;
}

int write(sqlite3_file* base, const void* from, int bytes, sqlite3_int64 at) {
  const iovec piece{const_cast<void*>(from), static_cast<std::size_t>(bytes)};
  const auto written = of(base).file->write_at(static_cast<std::uint64_t>(at), {&piece, 1});
  return code_of(written, SQLITE_IOERR_WRITE);
}

int truncate(sqlite3_file* base, sqlite3_int64 bytes) {
  const auto done = of(base).file->truncate(static_cast<std::uint64_t>(bytes));
  return code_of(done, SQLITE_IOERR_TRUNCATE);
}

int sync(sqlite3_file* base, int /*flags*/) {
  DiskFile& file = of(base);
  if (auto synced = file.file->sync_data(); !synced) return code_of(synced, SQLITE_IOERR_FSYNC);
  if (!file.sync_directory) return SQLITE_OK;
  const auto synced = file.disk->sync_directory(parent_of(file.path));
  if (synced) file.sync_directory = false;
  return code_of(synced, SQLITE_IOERR_DIR_FSYNC);
}

int file_size(sqlite3_file* base, sqlite3_int64* out) {
  const auto size = of(base).file->size();
  if (!size) return SQLITE_IOERR_FSTAT;
  *out = static_cast<sqlite3_int64>(*size);
  return SQLITE_OK;
}

int shm_map(sqlite3_file* base, int region, int bytes, int extend, void volatile** out) {
  auto& regions = of(base).node->shm;
  const auto number = static_cast<std::size_t>(region);
  *out = nullptr;
  if (number >= regions.size() && extend == 0) return SQLITE_OK;
  while (number >= regions.size()) {
    regions.push_back(std::make_unique<char[]>(static_cast<std::size_t>(bytes)));
  }
  *out = regions[number].get();
  return SQLITE_OK;
}

int shm_unlock(DiskFile& file, int slot) {
  Node::Slot& held = file.node->slots[static_cast<std::size_t>(slot)];
  if (held.exclusive == &file) held.exclusive = nullptr;
  if (std::exchange(file.shm_shared[static_cast<std::size_t>(slot)], false)) --held.shared;
  return SQLITE_OK;
}

int shm_lock(sqlite3_file* base, int first, int count, int flags) {
  DiskFile& file = of(base);
  const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  for (int i = first; i < first + count && (flags & SQLITE_SHM_LOCK) != 0; ++i) {
    const auto slot = static_cast<std::size_t>(i);
    const Node::Slot& wanted = file.node->slots[slot];
    const int others = wanted.shared - (file.shm_shared[slot] ? 1 : 0);
    const bool taken = wanted.exclusive != nullptr && wanted.exclusive != &file;
    if (taken || (exclusive && others > 0)) return SQLITE_BUSY;
  }
  for (int i = first; i < first + count; ++i) {
    const auto slot = static_cast<std::size_t>(i);
    Node::Slot& wanted = file.node->slots[slot];
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      shm_unlock(file, i);
    } else if (exclusive) {
      wanted.exclusive = &file;
    } else if (!std::exchange(file.shm_shared[slot], true)) {
      ++wanted.shared;
    }
  }
  return SQLITE_OK;
}

int shm_unmap(sqlite3_file* base, int /*remove*/) {
  for (int i = 0; i < SQLITE_SHM_NLOCK; ++i) shm_unlock(of(base), i);
  return SQLITE_OK;
}

constexpr sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = &close,
    .xRead = &read,
    .xWrite = &write,
    .xTruncate = &truncate,
    .xSync = &sync,
    .xFileSize = &file_size,
    .xLock = &lock,
    .xUnlock = &unlock,
    .xCheckReservedLock = &check_reserved_lock,
    .xFileControl = [](sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; },
    .xSectorSize = [](sqlite3_file*) { return kSectorBytes; },
    .xDeviceCharacteristics = [](sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; },
    .xShmMap = &shm_map,
    .xShmLock = &shm_lock,
    .xShmBarrier = [](sqlite3_file*) {},
    .xShmUnmap = &shm_unmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

}  // namespace

struct DiskVfs::Vfs : sqlite3_vfs {
  explicit Vfs(FileSystem& disk_in) : sqlite3_vfs(), disk(disk_in) {
    iVersion = 2;
    szOsFile = sizeof(DiskFile);
    mxPathname = kPathMax;
    zName = "simulated";
    xOpen = &open;
    xDelete = &remove;
    xAccess = &access;
    xFullPathname = [](sqlite3_vfs*, const char* name, int bytes, char* out) {
      sqlite3_snprintf(bytes, out, "%s", name);
      return SQLITE_OK;
    };
    xRandomness = [](sqlite3_vfs*, int bytes, char* out) {
      std::memset(out, 7, static_cast<std::size_t>(bytes));
      return bytes;
    };
    xSleep = [](sqlite3_vfs*, int microseconds) { return microseconds; };
    xCurrentTime = [](sqlite3_vfs*, double* out) {
      *out = 2'460'000;
      return SQLITE_OK;
    };
    xCurrentTimeInt64 = [](sqlite3_vfs*, sqlite3_int64* out) {
      *out = 2'460'000ll * 86'400'000;
      return SQLITE_OK;
    };
    xGetLastError = [](sqlite3_vfs*, int, char*) { return 0; };
  }

  static int open(sqlite3_vfs* base, const char* name, sqlite3_file* into, int flags, int* out) {
    Vfs& self = *static_cast<Vfs*>(base);
    into->pMethods = nullptr;
    if (name == nullptr) return SQLITE_CANTOPEN;  // temporary files stay in memory
    auto opened = self.disk.open(name, OpenMode::ReadWrite);
    const bool create = (flags & SQLITE_OPEN_CREATE) != 0;
    if (!opened && opened.error().code == ErrorCode::NotFound && create) {
      opened = self.disk.open(name, OpenMode::CreateNew);
    }
    if (!opened) return SQLITE_CANTOPEN;
    auto* const file = new (into) DiskFile{};
    file->pMethods = &kMethods;
    file->file = *std::move(opened);
    file->disk = &self.disk;
    file->nodes = &self.nodes;
    file->node = &self.nodes[name];
    file->path = name;
    file->sync_directory = create;
    ++file->node->users;
    if (out != nullptr) *out = flags;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* base, const char* name, int sync) {
    Vfs& self = *static_cast<Vfs*>(base);
    const auto removed = self.disk.remove(name);
    if (!removed && removed.error().code == ErrorCode::NotFound) return SQLITE_IOERR_DELETE_NOENT;
    if (!removed) return SQLITE_IOERR_DELETE;
    if (sync == 0) return SQLITE_OK;
    return code_of(self.disk.sync_directory(parent_of(name)), SQLITE_IOERR_DIR_FSYNC);
  }

  static int access(sqlite3_vfs* base, const char* name, int /*what*/, int* out) {
    const auto exists = static_cast<Vfs*>(base)->disk.exists(name);
    if (!exists) return SQLITE_IOERR_ACCESS;
    *out = *exists;
    return SQLITE_OK;
  }

  FileSystem& disk;
  std::map<std::string, Node> nodes;
};

DiskVfs::DiskVfs(FileSystem& disk) : vfs_(std::make_unique<Vfs>(disk)) {
  SLUICE_ASSERT(sqlite3_vfs_register(vfs_.get(), /*makeDflt=*/1) == SQLITE_OK);
  sqlite3_randomness(0, nullptr);  // begins anew, from xRandomness
}

DiskVfs::~DiskVfs() { sqlite3_vfs_unregister(vfs_.get()); }

}  // namespace sluice::testing
