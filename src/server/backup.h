#pragma once
// Copies of a data directory, and the way back.

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace sluice::server {

struct BackupSummary {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

// Copies `data_dir`, which a server may be using, to `to`, which does not exist or is empty. What
// was acknowledged before the call is in it, and no cursor lies ahead of its log. The key that
// opens its secrets is not in it. Durable on return; cut short it is no backup, and restore() says
// so. Blocks.
Result<BackupSummary> back_up(const std::string& data_dir, const std::string& to);

// Makes the backup at `from` the data directory `data_dir`, which does not exist or is empty, after
// checking every file against what was backed up. It is the same installation, with new ids for
// its batches. All or nothing. Blocks.
Result<BackupSummary> restore(const std::string& from, const std::string& data_dir, WallTime now);

}  // namespace sluice::server
