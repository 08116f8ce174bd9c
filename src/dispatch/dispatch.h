#pragma once
// Streams at work: reads what they want, freezes batches, sends, settles, moves cursors.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/awaitable.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io_threads.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/worker_pool.h"
#include "catalog/attempts.h"
#include "catalog/catalog.h"
#include "catalog/dead_letters.h"
#include "catalog/replays.h"
#include "connectors/connector.h"
#include "dispatch/alerts.h"
#include "recordlog/recordlog.h"

namespace sluice::dispatch {

// A stream as it stands; the API's `progress` and the metrics are made from it.
struct StreamSnapshot {
  catalog::StreamStatus status = catalog::StreamStatus::Running;
  std::string last_error;            // "" = none
  std::optional<int> remote_status;  // of the last attempt
  std::uint64_t delivered = 0;       // records, since the stream was created
  std::uint64_t aged_out = 0;        // offsets that retention took before they were delivered
  std::uint64_t damaged = 0;         // offsets that the log lost to damage
  std::uint64_t skipped = 0;         // records that the destination makes nothing of
  std::uint64_t dropped = 0;         // offsets that passed while Disabled, or were skipped
  std::uint64_t dead_letters = 0;    // records that are parked now
  Offset next_offset;                // the cursor
  // Offsets of the organisation from the cursor on. Records that the stream does not want count
  // until it has passed over them, which one that waits or stands still has not.
  std::uint64_t lag_records = 0;
  std::int64_t lag_s = 0;                // age of the oldest undelivered record; 0 = none
  std::optional<WallTime> next_attempt;  // while it waits after a failure
  bool handing_over = false;             // see begin_hand_over()
};

// A replay under way.
struct ReplayProgress {
  ReplayId id;
  bool waits = false;                  // for the stream itself
  std::string error;                   // of the last failure; "" = none
  std::optional<std::uint64_t> total;  // nullopt: not known yet
  std::uint64_t sent = 0;
  std::uint64_t parked = 0;
};

enum class Command : std::uint8_t { Pause, Resume, Restart, Disable };

struct Settings {
  std::string journal_directory;
  std::int64_t memory_bytes_max = 256ll << 20;  // of the chunks that all streams hold
  // Of those that one holds: beyond, it reads nothing for its next batch. One batch may be larger.
  std::uint64_t stream_memory_bytes_max = 16ull << 20;
  std::chrono::milliseconds retention = std::chrono::hours(20 * 24);  // the log's
};

class Dispatch {
 public:
  struct Dependencies {  // all outlive the Dispatch
    IoThreads& threads;
    FileSystem& fs;
    const Clock& clock;
    recordlog::RecordLog& log;
    catalog::Catalog& catalog;
    catalog::DeadLetters& dead_letters;
    catalog::Replays& replays;
    WorkerPool& catalog_pool;
    Metrics& metrics;
    // One per I/O thread, in their order.
    std::vector<connectors::ConnectorContext> connector_contexts;
    // Tests put their own here.
    const connectors::ConnectorDescriptor* (*find_connector)(std::string_view type) =
        &connectors::find_connector;
    catalog::AttemptLog* attempts = nullptr;  // null: attempts are not kept
    AlertSink* alerts = nullptr;              // null: nobody is told
  };

  // Reads the stream journal. Fails only if its directory cannot be used; damage in it is
  // quarantined and reported, and costs repeats, never records.
  static Result<std::unique_ptr<Dispatch>> open(Settings settings, Dependencies dependencies);
  // After stop() and after the loops have stopped; before the log and the catalog pool.
  virtual ~Dispatch() = default;

  // Takes the stream over: goes on from the journal's boundary, else from stream.start. Also used
  // for all of the catalog's streams on start, with the replay that is under way. Before or after
  // the loops have started.
  virtual void add(const catalog::Stream& stream,
                   const std::optional<catalog::Replay>& replay = std::nullopt) = 0;

  // Conflict: not possible in the stream's state (delivery.md, States and commands). The new
  // state is in the catalog when it returns. NotFound: unknown stream.
  virtual Awaitable<Result<StreamSnapshot>> command(StreamId stream, Command command) = 0;

  // Gives up the records before `to` (delivery.md, skip): as dead letters, or dropped and counted;
  // `to` beyond the newest record means that. It is certain to happen when this returns. Conflict:
  // neither Paused nor in Error.
  virtual Awaitable<Result<StreamSnapshot>> skip(StreamId stream, Offset to, bool park) = 0;

  // Begins `replay` of `stream`, both as they are in the catalog, or goes on with it after a
  // restart. It waits while the stream is not Running; when it has ended the catalog says so. Of
  // dead letters: those that are marked. Conflict: the stream is disabled or has changed meanwhile,
  // or another is under way. Cancelled: after stop(). NotFound: unknown stream.
  virtual Awaitable<Result<void>> replay(const catalog::Stream& stream,
                                         const catalog::Replay& replay) = 0;
  // The catalog knows when it returns. NotFound: it has ended.
  virtual Awaitable<Result<void>> cancel_replay(StreamId stream, ReplayId replay) = 0;
  // Threads: any. Nullopt: none is under way.
  virtual std::optional<ReplayProgress> replay_progress(StreamId stream) const = 0;

  // Another stream is to take its place: it begins no attempt any more, and this returns when the
  // one under way has ended, with the cursor. Until end_hand_over() no other call about the stream
  // succeeds, and remove() is not allowed. Conflict: it is disabled, records are being skipped, or
  // a replay or a hand-over is under way. NotFound: unknown stream.
  struct Standing {
    Offset cursor;
    std::optional<std::pair<Offset, Offset>> in_doubt;  // as catalog::HandOver
  };
  virtual Awaitable<Result<Standing>> begin_hand_over(StreamId stream) = 0;
  // The catalog says that `successor` has taken its place, and it stays closed. Nullopt: it goes
  // on.
  virtual Awaitable<Result<void>> end_hand_over(StreamId stream,
                                                std::optional<StreamId> successor) = 0;

  // Takes over the settings of `changed` (destination, filters, delivery, labels) as they are in
  // the catalog by now; does nothing when it has newer ones (settings_revision). An attempt under
  // way ends under the old ones; a frozen batch is let go if filter_revision or render_revision
  // grew. A stream in Error whose destination changed goes on. NotFound: unknown stream.
  virtual Awaitable<Result<StreamSnapshot>> change(const catalog::Stream& changed) = 0;

  // Abandons what is under way and forgets the stream, in the journal too. The caller deletes it
  // from the catalog first, so that a crash between leaves no stream without catalog row.
  virtual Awaitable<Result<void>> remove(StreamId stream) = 0;

  // Threads: any.
  virtual std::optional<StreamSnapshot> snapshot(StreamId stream) const = 0;

  // No new batch begins; requests under way get `grace_ms`, then are abandoned; cursors settled by
  // then are durable. Blocks; not from an I/O thread. The log takes no more appends by now.
  virtual void stop(std::uint32_t grace_ms) = 0;
};

}  // namespace sluice::dispatch
