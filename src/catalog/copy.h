#pragma once
// The catalog's files in a backup.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace sluice::catalog {

// A copy of any of this folder's files as it is at one moment; others may be writing to it. `to`
// does not exist; readable by its owner alone, durable but for its name. NotFound: no `from`.
// Blocks.
Result<void> copy_database(const std::string& from, const std::string& to);

// From now on the batches of every stream in the catalog at `path` have other ids than before: what
// was sent under the ids of a lost later life must not seem to be what is sent now. `revision` is
// greater than any before. Blocks.
Result<void> renew_batch_ids(const std::string& path, std::uint32_t revision);

}  // namespace sluice::catalog
