#pragma once
// What became of each stream's attempts: the newest one by one, all of them minute by minute.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "catalog/latencies.h"
#include "model/attempt.h"
#include "model/ids.h"

namespace sluice::catalog {

// What attempts came to in a span of time. Those that we broke off ourselves do not count.
struct AttemptSums {
  std::uint64_t successes = 0;
  std::uint64_t errors = 0;
  std::uint64_t records = 0;  // delivered
  std::uint64_t bytes = 0;    // of them
  Latencies latencies;        // of successes and errors
  void add(const AttemptSums& other);
};

// Deliveries tell it and never wait for it: what it is told waits in memory, within bytes, until a
// thread of its own has written it. A second of it may be lost in a crash.
class AttemptLog {
 public:
  // One stream's end of it.
  class Stream {
   public:
    virtual ~Stream() = default;
    // Threads: any. Takes a short lock and does no I/O. Where there is no room for it, what it
    // exchanged is left out, or it is summed up with others in one row.
    virtual void add(Attempt attempt) = 0;
  };

  struct Settings {
    std::string path;
    std::uint64_t queue_bytes_max = 32 << 20;  // of what is not written yet
    std::uint32_t attempts_max = 1000;         // kept of a stream, without their exchanges
    std::uint32_t successes_max = 20;          // of them with what they exchanged; failures all
    std::uint64_t bytes_max = 1ull << 30;      // of the file; beyond, the oldest exchanges go
  };
  using Numbered = std::pair<std::uint64_t, Attempt>;  // numbers grow with a stream's attempts
  struct Page {
    std::vector<Numbered> attempts;  // newest first
    bool more = false;               // there are older ones
  };
  static constexpr std::uint64_t kPageBytesMax = 4 << 20;    // a page ends here too
  static constexpr std::int64_t kMinutesKept = 24 * 60 + 1;  // the last has just begun

  virtual ~AttemptLog() = default;  // writes what is not written yet

  // Threads: any. May outlive the AttemptLog, and then keeps nothing.
  virtual std::shared_ptr<Stream> stream(StreamId id) = 0;

  // These block (SQLite): call them from a worker pool. They know all that add() was told before.
  // Errors: Io, ResourceExhausted, Unavailable.
  // Those with a number below `before`, `limit` at most.
  virtual Result<Page> list(StreamId id, std::optional<std::uint64_t> before,
                            std::uint32_t limit) = 0;
  // From the minute of `since` on, at most kMinutesKept.
  virtual Result<AttemptSums> sums(StreamId id, WallTime since) = 0;
  // The stream has been deleted: what it still adds counts for nothing.
  virtual Result<void> forget(StreamId id) = 0;
};

// Never fails: a file that is damaged or not ours is moved away, now or whenever that shows, and
// begun anew; one that cannot be written is tried again, and what came in between is lost. Rows of
// streams that are not in `streams` go. `metrics` outlives it.
std::unique_ptr<AttemptLog> open_attempts(const AttemptLog::Settings& settings,
                                          std::span<const StreamId> streams, Metrics& metrics);

}  // namespace sluice::catalog
