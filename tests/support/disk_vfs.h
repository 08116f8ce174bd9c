#pragma once
#include <memory>

#include "base/fs.h"

namespace sluice::testing {

// While it lives, SQLite's databases lie on `disk`, which outlives it. Does what SQLite's own VFS
// does on Linux, but that a failed sync of a directory is an error; locks hold within the process.
// One a process. A database's file is to be there before it is opened. Threads: none.
class DiskVfs {
 public:
  explicit DiskVfs(FileSystem& disk);
  ~DiskVfs();

 private:
  struct Vfs;
  const std::unique_ptr<Vfs> vfs_;
};

}  // namespace sluice::testing
