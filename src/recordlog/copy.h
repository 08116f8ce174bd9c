#pragma once
// Copies a record log's directory, which a server may be writing to: `sluice backup`.

#include <string>

#include "base/fs.h"
#include "base/result.h"

namespace sluice::recordlog {

// What was acknowledged before the call is in the copy; of what came later it has whole commit
// groups or none, so that it looks like a log that was stopped. What retention deletes meanwhile
// is left out. `to` does not exist or is empty; durable on return. NotFound: `from` is no record
// log's directory.
Result<void> copy_log(FileSystem& fs, const std::string& from, const std::string& to);

// One file, up to `bytes_max`; blocks of zeros become holes. Durable, but for its name.
Result<void> copy_file(FileSystem& fs, const std::string& from, const std::string& to,
                       std::uint64_t bytes_max);

}  // namespace sluice::recordlog
