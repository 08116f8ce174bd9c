#pragma once
#include <memory>

#include "base/disk_reserve.h"

namespace sluice::catalog {

// While it lives, the catalogs that are opened draw on `reserve` when they find the disk full; the
// quarantine, which may refuse, does not. One a process. Outlives the catalogs, `reserve` outlives
// it.
class ReserveVfs {
 public:
  explicit ReserveVfs(DiskReserve& reserve);
  ~ReserveVfs();

 private:
  struct Vfs;
  const std::unique_ptr<Vfs> vfs_;
};

}  // namespace sluice::catalog
