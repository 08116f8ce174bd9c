#pragma once
// Records that streams send again beside their own way: parts of the log, and dead letters
// (redrive).

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/ids.h"

namespace sluice::catalog {

// What stands for a replay where state is kept by stream. Ids are 63 bits wide (kIdMax).
inline constexpr StreamId replay_key(ReplayId replay) {
  return StreamId{replay.value() | 1ull << 63};
}

// Values lie in the catalog.
enum class ReplayState : std::uint8_t { Running = 1, Done = 2, Cancelled = 3, Failed = 4 };

struct Replay {
  ReplayId id = {};
  StreamId stream = {};
  bool of_dead_letters = false;
  ReplayState state = ReplayState::Running;
  std::string error = {};  // Failed: why
  Offset from = {};
  Offset to = {};                           // not itself
  std::string filters = {};                 // JSON list; "": the stream's own
  std::optional<std::uint64_t> total = {};  // records that are to be sent; nullopt: not known
  std::uint64_t sent = 0;
  std::uint64_t parked = 0;
  WallTime created = {};
};

// Durability, threads, errors: as Catalog.
class Replays {
 public:
  // What has ended is kept for look-ups, the newest so many of a stream.
  static constexpr std::uint32_t kKeptMax = 100;

  virtual ~Replays() = default;

  // Gives it its id; `id` and `created` of the argument are ignored. Conflict: one of the stream is
  // under way. NotFound: no such stream.
  virtual Result<Replay> create(Replay replay, WallTime now) = 0;
  // Nullopt also when it is another stream's.
  virtual Result<std::optional<Replay>> find(StreamId stream, ReplayId id) = 0;
  // Of all streams.
  virtual Result<std::vector<Replay>> running() = 0;
  // Writes state, error, from, to, total, sent and parked. Does nothing if it has gone with its
  // stream.
  virtual Result<void> update(const Replay& replay) = 0;
};

// Its own connection to the catalog's file; errors as open_sqlite().
Result<std::unique_ptr<Replays>> open_sqlite_replays(const std::string& path);

}  // namespace sluice::catalog
