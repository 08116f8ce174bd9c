#pragma once
// The attempts log's file. Internal to catalog.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "catalog/attempt_queue.h"
#include "catalog/attempts.h"
#include "catalog/sqlite/database.h"

namespace sluice::catalog {

// Durability: what was written survives the process; of a power cut the last seconds may not.
// Threads: none; the owner locks. Errors: as AttemptLog; Corruption: damaged, or not a file of this
// version.
class AttemptStore {
 public:
  // Makes the file unless it is there.
  static Result<AttemptStore> open(const AttemptLog::Settings& settings);

  // All of it or nothing. The oldest go.
  Result<void> write(std::span<const TakenAttempts> taken);
  Result<AttemptLog::Page> list(StreamId stream, std::optional<std::uint64_t> before,
                                std::uint32_t limit);
  Result<AttemptSums> sums(StreamId stream, WallTime since);
  Result<void> forget(StreamId stream);
  Result<void> keep_only(std::span<const StreamId> streams);
  Result<std::uint64_t> bytes();  // of the file that are in use

 private:
  AttemptStore(const AttemptLog::Settings& settings, Database database);

  Result<std::uint64_t> last_number(StreamId stream);
  Result<void> insert(const TakenAttempts& taken);
  Result<void> insert_exchange(StreamId stream, std::uint64_t number, const Attempt& attempt);
  Result<void> insert_minutes(const TakenAttempts& taken);
  Result<void> trim(StreamId stream, std::uint64_t last);
  Result<void> trim_to_size();

  std::uint32_t attempts_max_;
  std::uint32_t successes_max_;
  std::uint64_t bytes_max_;
  std::int64_t run_ = 0;  // of this process: a minute may be of several
  Database database_;
  std::unordered_map<StreamId, std::uint64_t> last_numbers_;
};

}  // namespace sluice::catalog
