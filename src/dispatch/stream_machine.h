#pragma once
// One stream's delivery as a state machine: no I/O, no clock, no threads, so that the server and
// the simulator run the same code. It is told what happened, with the time, and answers what to do.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "connectors/connector.h"
#include "dispatch/batch.h"
#include "dispatch/delivery_settings.h"
#include "dispatch/dispatch.h"
#include "dispatch/journal_entry.h"
#include "dispatch/retry_policy.h"
#include "recordlog/recordlog.h"

namespace sluice::dispatch {

// What is to be done now. Each is asked for once; wants_read() and wake_at() are looked at after
// every event instead.
struct Actions {
  std::optional<JournalEntry> freeze;  // append, then frozen() when it is durable
  std::optional<JournalEntry> save;    // append, then saved()
  // One attempt, within the settings' timeout; then sent(). Unchanged until then.
  const connectors::RecordBatch* send = nullptr;
  bool cancel = false;  // end the attempt under way early; sent() is still to come
};

// Order of durability: a batch that was cut because nothing more was there is frozen before it is
// first sent; one cut by size or bytes follows from the cursor, so that a crash cuts it the same
// way (only a stream's first of all is always frozen). Settling is saved lazily: a crash repeats
// what was not saved, under the same ids.
class StreamMachine {
 public:
  struct Options {
    StreamId stream;
    OrganisationId organisation;
    DeliverySettings delivery;
    connectors::BatchLimits limits;
    std::uint32_t filter_revision = 0;
    std::uint32_t render_revision = 0;
    // Not empty: the settings as stored cannot be used, and why. Such a stream goes to Error.
    std::string unusable;
    std::function<double()> chance;  // uniform in [-1, 1]: the jitter
  };
  // Where it stood.
  struct Start {
    catalog::StreamStatus status = catalog::StreamStatus::Running;
    catalog::StreamStatus before_pause = catalog::StreamStatus::Running;
    std::string last_error;
    std::optional<int> remote_status;
    std::uint32_t revision = 1;
    Offset cursor;                      // where the stream began
    std::optional<JournalEntry> entry;  // how far it came
    Offset end;                         // of the log
  };

  StreamMachine(Options options, Start start);

  // Events. `now` never goes back.
  Actions begin(SteadyTime now);  // first
  Actions records_ready(Offset end, SteadyTime now);
  // What a read at wants_read() found.
  Actions read_done(const Result<recordlog::ReadResult>& result, SteadyTime now);
  Actions frozen(const Result<void>& result, SteadyTime now);
  Actions saved(const Result<void>& result, SteadyTime now);
  Actions sent(const connectors::SendOutcome& outcome, SteadyTime now);
  Actions timer(SteadyTime now);
  // Conflict: not possible in this state, and nothing has changed.
  Result<Actions> command(Command command, SteadyTime now);
  Actions release(SteadyTime now);  // memory is short: gives back what no attempt is using
  Actions stop(SteadyTime now);     // begins nothing more, saves the cursor
  Actions abandon(SteadyTime now);  // after stop(): does not await the attempt under way

  // Where to read next, once for each read_done(); nullopt: nowhere.
  std::optional<Offset> wants_read() const;
  // When to call timer(), at the latest. Always later than the last event.
  std::optional<SteadyTime> wake_at() const;
  // After stop(): nothing is under way any more.
  bool stopped() const;

  // How it stands.
  catalog::StreamStatus status() const { return status_; }
  catalog::StreamStatus before_pause() const { return before_pause_; }
  const std::string& last_error() const { return last_error_; }
  std::optional<int> remote_status() const { return remote_status_; }
  std::uint32_t revision() const { return revision_; }
  std::uint64_t delivered() const { return delivered_; }
  const Losses& losses() const { return losses_; }
  Offset cursor() const { return cursor_; }
  std::optional<SteadyTime> next_attempt() const;  // while it waits after a failure
  std::optional<WallTime> oldest_stored() const { return oldest_stored_; }
  std::uint64_t memory_bytes() const;  // of the chunks held

 private:
  // What the batch at the head, head_, is waiting for.
  enum class Phase : std::uint8_t {
    Ready,     // not_before_, its bytes, or nothing
    Freezing,  // frozen()
    Sending,   // sent()
  };
  struct Carry {  // what is left of a chunk that was read
    ChunkPtr chunk;
    std::uint32_t begin = 0;
  };

  bool running() const { return status_ == catalog::StreamStatus::Running && !stopping_; }
  bool in_error() const {  // now, or once the pause is over
    const bool paused = status_ == catalog::StreamStatus::Paused;
    return (paused ? before_pause_ : status_) == catalog::StreamStatus::Error;
  }
  bool sending() const { return head_ && phase_ == Phase::Sending; }

  void advance(SteadyTime now);
  Actions finish(SteadyTime now);

  // Gathering: records after the head's batch, for the next one.
  bool may_gather() const;
  void gather();
  void gathered(const recordlog::ReadResult& result);
  void pass_over_unwanted();
  bool may_close(SteadyTime now);
  void close_next();
  void forget_gathered();
  bool caught_up() const { return !carry_.chunk && read_at_ >= end_; }

  // Reading the head's very records again.
  void begin_loading();
  void loaded(const recordlog::ReadResult& result);
  void finish_loading(Carry rest);
  void let_go();

  // The head's way out.
  void push_head(SteadyTime now);
  void attempt(SteadyTime now);
  void settle(SteadyTime now);
  void retry(const connectors::RetryLater& outcome, SteadyTime now);
  void fail(std::string reason, SteadyTime now);
  void release_memory();

  void save_cursor(SteadyTime now);
  bool may_save() const;
  JournalEntry cursor_entry() const;
  JournalEntry boundary_entry() const;

  void own_fault(std::string reason, SteadyTime now);
  void own_fault_over(SteadyTime now);
  void check_health(SteadyTime now);
  void set_last_error(std::string text);
  SteadyTime interval_over() const;
  SteadyTime linger_over() const;

  const Options options_;
  Actions actions_;  // being put together

  // What the catalog shows.
  catalog::StreamStatus status_;
  catalog::StreamStatus before_pause_;
  std::string last_error_;
  std::optional<int> remote_status_;
  std::uint32_t revision_;

  // What is settled: everything before cursor_.
  Offset cursor_;
  std::optional<Offset> previous_;
  std::uint64_t delivered_ = 0;
  Losses losses_;

  Offset end_;      // of the log, as far as known
  Offset read_at_;  // where gathering reads on; everything before is in head_, next_, carry_
  Carry carry_;     // chunk null: nothing left
  std::optional<WallTime> oldest_stored_;
  bool peeked_ = false;  // looked for it while not running

  std::optional<Batch> head_;  // the batch that is sent next or now
  Phase phase_ = Phase::Ready;
  std::optional<Batch> reload_;  // head_'s records as they are read again, from load_at_ on
  Offset load_at_;
  Batch next_;                // gathers behind it
  bool freeze_next_ = false;  // the journal does not know revision_ and formatter yet
  std::optional<SteadyTime> sendable_since_;  // next_, for the linger
  std::optional<SteadyTime> last_begin_;      // of a batch, for the interval

  SteadyTime not_before_;  // of the head's next attempt
  SteadyTime sent_at_;
  std::optional<Milliseconds> answered_took_;
  std::uint32_t failures_ = 0;  // in a row
  FailureClock failure_clock_;

  std::optional<SteadyTime> own_fault_until_;  // disk or journal failed: all stands still
  bool own_error_ = false;                     // last_error_ is about that

  std::optional<Offset> saved_cursor_;  // in the newest entry appended; none if that failed
  bool saving_ = false;
  std::uint32_t unsaved_batches_ = 0;
  std::optional<SteadyTime> save_due_;

  bool stopping_ = false;
  bool abandoned_ = false;
};

}  // namespace sluice::dispatch
