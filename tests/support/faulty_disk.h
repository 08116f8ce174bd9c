#pragma once
// A file system in memory whose operations can be made to fail and whose power can be cut. It
// keeps two truths: what the process sees (page cache) and what is on stable storage, per sector
// of 512 bytes and per directory entry.
//
//   FaultyDisk disk({.seed = 7});
//   disk.arm({.number = n});        // the n-th changing operation from now fails
//   ... run the code under test until it reports an error ...
//   disk.power_off();               // everything fails: the process may still be torn down
//   disk.power_on();                // what was not synced is kept or lost, sector by sector
//
// Threads: any.

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/mutex.h"

namespace sluice::testing {

enum class DiskOperation : std::uint32_t {
  Create = 1u << 0,
  Write = 1u << 1,
  Sync = 1u << 2,
  Preallocate = 1u << 3,
  Truncate = 1u << 4,
  Rename = 1u << 5,
  Remove = 1u << 6,
  SyncDirectory = 1u << 7,
  CreateDirectories = 1u << 8,
  Open = 1u << 9,  // of a file that exists
  Read = 1u << 10,
  List = 1u << 11,
};
constexpr std::uint32_t mask(DiskOperation operation) {
  return static_cast<std::uint32_t>(operation);
}
constexpr std::uint32_t operator|(DiskOperation a, DiskOperation b) { return mask(a) | mask(b); }
constexpr std::uint32_t operator|(std::uint32_t a, DiskOperation b) { return a | mask(b); }

inline constexpr std::uint32_t kChangingOperations = (1u << 9) - 1;  // all but Open, Read, List
inline constexpr std::uint64_t kForever = std::numeric_limits<std::uint64_t>::max();

// The `number`-th of the named operations from now on (counted from 1; 0: none) fails, and the
// `times - 1` after it. A failed write leaves nothing, or with `torn` some of its sectors. A
// failed sync leaves some sectors on storage and forgets that the others were not, as Linux does:
// a later sync succeeds without them. A failed rename, create or remove has not happened.
struct DiskFault {
  std::uint64_t number = 0;
  std::uint32_t operations = kChangingOperations;
  std::uint64_t times = 1;
  ErrorCode code = ErrorCode::Io;
  bool torn = false;
};

class FaultyDisk final : public FileSystem {
 public:
  struct Options {
    std::uint64_t seed = 1;  // decides what a power cut and a tear leave
  };
  FaultyDisk() : FaultyDisk(Options{}) {}
  explicit FaultyDisk(Options options);
  ~FaultyDisk() override;

  void arm(DiskFault fault);  // replaces the one before and counts anew
  void heal() { arm({}); }
  bool fault_fired() const;
  std::uint64_t operations() const;  // changing ones so far
  std::uint64_t sync_operations() const;

  // From power_off() on every operation fails with Io. power_on() decides what was lost; files
  // opened before it stay dead.
  void power_off();
  void power_on();
  // Instead of power_on(), as after kill -9: all that was written is there, synced or not.
  void revive();
  void power_cut() {
    power_off();
    power_on();
  }

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> sync_directory(const std::string& directory) override;
  Result<void> create_directories(const std::string& directory) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<bool> exists(const std::string& path) override;

 private:
  class OpenFile;
  struct Inode;
  using InodePtr = std::shared_ptr<Inode>;  // shared by directory entries and open files
  // A change of a directory that is not yet on stable storage: `name` now means `inode` (null:
  // nothing); a rename also removes `old_name`, in one step.
  struct Change {
    std::string name;
    InodePtr inode;
    std::string old_name;
  };
  struct Directory {
    std::map<std::string, InodePtr> entries;
    std::map<std::string, InodePtr> durable;
    std::vector<Change> changes;
  };

  Result<void> begin(DiskOperation operation, const std::string& path) SLUICE_REQUIRES(mutex_);
  Directory* directory_of(const std::string& path) SLUICE_REQUIRES(mutex_);
  InodePtr* find(const std::string& path) SLUICE_REQUIRES(mutex_);
  bool coin() SLUICE_REQUIRES(mutex_) { return (random_() & 1) != 0; }
  void lose_unsynced(Inode& inode) SLUICE_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Directory> directories_ SLUICE_GUARDED_BY(mutex_);
  std::mt19937_64 random_ SLUICE_GUARDED_BY(mutex_);
  DiskFault fault_ SLUICE_GUARDED_BY(mutex_);
  std::uint64_t matched_ SLUICE_GUARDED_BY(mutex_) = 0;  // operations since arm()
  std::uint64_t operations_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::uint64_t syncs_ SLUICE_GUARDED_BY(mutex_) = 0;
  bool fired_ SLUICE_GUARDED_BY(mutex_) = false;
  bool powered_ SLUICE_GUARDED_BY(mutex_) = true;
  std::uint64_t generation_ SLUICE_GUARDED_BY(mutex_) = 0;  // power_on() count
};

}  // namespace sluice::testing
