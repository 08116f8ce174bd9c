// SQLite's files on the platform's own VFS, but that a write which finds the disk full is done
// again once the reserve has made room. Below SQLite, as a transaction cannot be done again above.

#include "catalog/reserve_vfs.h"

#include <sqlite3.h>

#include <cerrno>

#include "base/assert.h"
#include "catalog/sqlite/database.h"

namespace sluice::catalog {
namespace {

// The platform's own file lies behind it in memory that SQLite provides.
struct ReserveFile : sqlite3_file {
  DiskReserve* reserve;
};

sqlite3_file* own(sqlite3_file* file) {
  return reinterpret_cast<sqlite3_file*>(static_cast<ReserveFile*>(file) + 1);
}

// The platform's method on its own file.
template <auto Method>
struct Pass;
template <class R, class... Args, R (*sqlite3_io_methods::*Method)(sqlite3_file*, Args...)>
struct Pass<Method> {
  static R call(sqlite3_file* file, Args... args) {
    return (own(file)->pMethods->*Method)(own(file), args...);
  }
};

bool found_disk_full(sqlite3_file* file, int code) {
  if (code == SQLITE_OK) return false;
  if (code == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE) return true;
  int number = 0;
  own(file)->pMethods->xFileControl(own(file), SQLITE_FCNTL_LAST_ERRNO, &number);
  return number == ENOSPC || number == EDQUOT;
}

template <auto Method>
struct WithReserve;
template <class... Args, int (*sqlite3_io_methods::*Method)(sqlite3_file*, Args...)>
struct WithReserve<Method> {
  static int call(sqlite3_file* file, Args... args) {
    const int code = Pass<Method>::call(file, args...);
    if (!found_disk_full(file, code)) return code;
    static_cast<ReserveFile*>(file)->reserve->give_up();
    return Pass<Method>::call(file, args...);
  }
};

// A failed sync is not done again: nobody knows what is on the disk. The next write has the room.
int sync(sqlite3_file* file, int flags) {
  const int code = Pass<&sqlite3_io_methods::xSync>::call(file, flags);
  if (found_disk_full(file, code)) static_cast<ReserveFile*>(file)->reserve->give_up();
  return code;
}

constexpr sqlite3_io_methods kMethods = {
    .iVersion = 3,
    .xClose = &Pass<&sqlite3_io_methods::xClose>::call,
    .xRead = &Pass<&sqlite3_io_methods::xRead>::call,
    .xWrite = &WithReserve<&sqlite3_io_methods::xWrite>::call,
    .xTruncate = &Pass<&sqlite3_io_methods::xTruncate>::call,
    .xSync = &sync,
    .xFileSize = &Pass<&sqlite3_io_methods::xFileSize>::call,
    .xLock = &Pass<&sqlite3_io_methods::xLock>::call,
    .xUnlock = &Pass<&sqlite3_io_methods::xUnlock>::call,
    .xCheckReservedLock = &Pass<&sqlite3_io_methods::xCheckReservedLock>::call,
    .xFileControl = &Pass<&sqlite3_io_methods::xFileControl>::call,
    .xSectorSize = &Pass<&sqlite3_io_methods::xSectorSize>::call,
    .xDeviceCharacteristics = &Pass<&sqlite3_io_methods::xDeviceCharacteristics>::call,
    .xShmMap = &WithReserve<&sqlite3_io_methods::xShmMap>::call,
    .xShmLock = &Pass<&sqlite3_io_methods::xShmLock>::call,
    .xShmBarrier = &Pass<&sqlite3_io_methods::xShmBarrier>::call,
    .xShmUnmap = &Pass<&sqlite3_io_methods::xShmUnmap>::call,
    .xFetch = &Pass<&sqlite3_io_methods::xFetch>::call,
    .xUnfetch = &Pass<&sqlite3_io_methods::xUnfetch>::call,
};

}  // namespace

// A copy of the platform's VFS: its other functions find their data as before.
struct ReserveVfs::Vfs : sqlite3_vfs {
  Vfs(sqlite3_vfs& platform_in, DiskReserve& reserve_in)
      : sqlite3_vfs(platform_in), platform(platform_in), reserve(reserve_in) {
    szOsFile += static_cast<int>(sizeof(ReserveFile));
    pNext = nullptr;
    zName = kReserveVfs;
    xOpen = &open;
  }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
    const Vfs& self = *static_cast<Vfs*>(vfs);
    auto* const with_reserve = static_cast<ReserveFile*>(file);
    with_reserve->pMethods = nullptr;
    with_reserve->reserve = &self.reserve;
    const int code = self.platform.xOpen(&self.platform, name, own(file), flags, out);
    if (own(file)->pMethods != nullptr) {
      SLUICE_ASSERT(own(file)->pMethods->iVersion >= kMethods.iVersion);
      with_reserve->pMethods = &kMethods;
    }
    return code;
  }

  sqlite3_vfs& platform;
  DiskReserve& reserve;
};

ReserveVfs::ReserveVfs(DiskReserve& reserve)
    : vfs_(std::make_unique<Vfs>(*sqlite3_vfs_find(nullptr), reserve)) {
  SLUICE_ASSERT(sqlite3_vfs_find(kReserveVfs) == nullptr);
  SLUICE_ASSERT(sqlite3_vfs_register(vfs_.get(), /*makeDflt=*/0) == SQLITE_OK);
}

ReserveVfs::~ReserveVfs() { sqlite3_vfs_unregister(vfs_.get()); }

}  // namespace sluice::catalog
