#pragma once
// `sluice log repair`.

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "base/result.h"
#include "recordlog/inspect.h"

namespace sluice::recordlog {

struct RepairReport {
  std::vector<Finding> found;  // damage; its bytes are in <directory>/quarantine now
  std::vector<Finding> left;   // damage that is still there
};

// Copies what is damaged to quarantine and puts gaps in its place, which say what was lost; writes
// footers anew where they disagree with the chunks, and stand-ins for segments that are missing.
// Nothing that can be read is touched. No other process may have the log open. May be called again
// after any failure.
Result<RepairReport> repair_log(FileSystem& fs, const Clock& clock, const std::string& directory);

}  // namespace sluice::recordlog
