#pragma once
// Records that a stream could not deliver and that are kept, with the reason.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "model/ids.h"
#include "model/kind.h"
#include "model/record_columns.h"

namespace sluice::catalog {

struct DeadLetter {
  Offset offset;
  RecordColumns columns = {};
  Kind kind = Kind::Event;
  WallTime parked;
  std::string reason;
  std::optional<int> status;  // that the destination refused it with
  std::string record;         // its bytes
};

// Durability: what a call reports as done is on stable storage. Threads: any, calls queue up.
// Blocks (SQLite): call it from a worker pool, but for count(). Errors: Io, Corruption,
// ResourceExhausted (the disk is full).
class DeadLetters {
 public:
  struct Limits {  // of each stream
    std::uint64_t count_max = 10'000;
    std::uint64_t bytes_max = 100 << 20;  // of the records
  };
  struct State {
    StreamId key;  // dispatch's; of a stream, or of a replay of one
    std::string bytes;
  };
  // Letters that are to be sent again.
  struct Marked {
    std::uint64_t count = 0;
    Offset first;  // meaningless with a count of 0
    Offset last;
  };
  struct Page {
    std::vector<DeadLetter> letters;  // in the order of their offsets
    bool more = false;
  };
  // A page ends here too; it has one letter at least.
  static constexpr std::uint64_t kPageBytesMax = 4 << 20;

  virtual ~DeadLetters() = default;

  // All of them and `state`, in one step; an offset that is parked already gets the new reason, and
  // is no longer marked. `state` is the caller's, where the stream stands behind them; it replaces
  // the one before with its key. Conflict: they would exceed the limits (the message is for the
  // stream's last_error).
  virtual Result<void> park(StreamId stream, std::span<const DeadLetter> letters,
                            const State& state) = 0;
  // Of all streams.
  virtual Result<std::vector<State>> states() = 0;

  // Those from `from` on, `limit` at most.
  virtual Result<Page> list(StreamId stream, Offset from, std::uint32_t limit) = 0;
  // Marks those with these offsets, or all there are now, and no others. NotFound: there is none
  // with one of the offsets, and nothing has changed.
  virtual Result<Marked> mark(StreamId stream,
                              const std::optional<std::vector<Offset>>& offsets) = 0;
  virtual Result<void> unmark(StreamId stream) = 0;
  // As list(), of the marked ones.
  virtual Result<Page> marked(StreamId stream, Offset from, std::uint32_t limit) = 0;
  // Those with these offsets, or all; returns how many there were.
  virtual Result<std::uint64_t> remove(StreamId stream,
                                       const std::optional<std::vector<Offset>>& offsets) = 0;
  // The stream is gone, or whatever a state had this key.
  virtual Result<void> forget(StreamId key) = 0;
  // So are all others than these: what a crash left of deleted ones goes.
  virtual Result<void> keep_only(std::span<const StreamId> keys) = 0;

  // How many there are. Does not block.
  virtual std::uint64_t count(StreamId stream) const = 0;
  // No more can be parked: that would be a Conflict. Does not block.
  virtual bool is_full(StreamId stream) const = 0;
};

// Opens or makes `path` (mode 0600, synchronous=FULL). Corruption: damaged, not a file of dead
// letters, or made by a newer version.
Result<std::unique_ptr<DeadLetters>> open_dead_letters(const std::string& path,
                                                       DeadLetters::Limits limits,
                                                       Metrics& metrics);

}  // namespace sluice::catalog
