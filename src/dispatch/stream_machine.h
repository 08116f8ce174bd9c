#pragma once
// One stream's delivery as a state machine: no I/O, no clock, no threads, so that the server and
// the simulator run the same code. It is told what happened, with the time, and answers what to do.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "catalog/replays.h"
#include "connectors/connector.h"
#include "dispatch/batch.h"
#include "dispatch/delivery_settings.h"
#include "dispatch/dispatch.h"
#include "dispatch/journal_entry.h"
#include "dispatch/lanes.h"
#include "dispatch/retry_policy.h"
#include "dispatch/settled_ahead.h"
#include "filters/filter.h"
#include "recordlog/recordlog.h"

namespace sluice::dispatch {

// What is to be done now. Each is asked for once; wants_read() and wake_at() are looked at after
// every event instead.
struct Actions {
  std::optional<JournalEntry> freeze;  // append, then frozen() when it is durable
  std::optional<JournalEntry> save;    // append, then saved()
  // One attempt each, within the settings' timeout; then sent(). Unchanged until then. Where one
  // has no runs it goes with a source (LogSource), of selection().
  std::vector<const connectors::RecordBatch*> send;
  bool cancel = false;  // end the attempts under way early; sent() is still to come
  // These records become dead letters and the rest the stream's state, in one durable step; then
  // parked(). Unchanged until then.
  struct Park {
    const connectors::RecordBatch* records = nullptr;  // null: none, only the state is kept
    JournalEntry behind;
    SettledAhead ahead;
    std::string reason;
    std::optional<int> status;  // that the destination refused them with
  };
  std::optional<Park> park;
};

// Order of durability: a batch that was cut because nothing more was there is frozen before it is
// first sent; one cut by size or bytes follows from the cursor, so that a crash cuts it the same
// way (only a stream's first of all is always frozen). Settling is saved lazily: a crash repeats
// what was not saved, under the same ids.
//
// A refused batch is halved, each half a batch of its own, until the records that are refused alone
// are known; those are parked.
//
// A batch whose connector reads it while it is sent is not held if it is large (BatchLimits):
// gathering counts its records and lets go of them, and where it may have changed since, after a
// failure or a crash, it is counted again before it is sent. To halve it, its first half is
// gathered once more.
//
// With delivery.parallel above 1 the batch at the head is a run: its requests go out by device (see
// Run), and the cursor stays in front of it until all of them are settled. What is settled by then
// is known (SettledAhead) whatever becomes of the run, but for a crash, which repeats what was not
// kept with a dead letter.
class StreamMachine {
 public:
  // What change() may change.
  struct Settings {
    DeliverySettings delivery;
    connectors::BatchLimits limits;
    std::shared_ptr<const filters::Filter> filter;  // null: everything passes
    std::uint32_t filter_revision = 0;
    std::uint32_t render_revision = 0;
    std::uint32_t settings_revision = 0;  // of the catalog's row
    // Not empty: the settings as stored cannot be used, and why. Such a stream is in Error.
    std::string unusable;
  };
  struct Options {
    StreamId stream;
    OrganisationId organisation;
    Settings settings;
    filters::Evaluator* evaluator = nullptr;  // outlives the machine; unused without a filter
    std::function<double()> chance;           // uniform in [-1, 1]: the jitter
    std::function<WallTime()> wall;           // for delivery.max_age_s
    // When a stream may begin that failed or that this process found with a backlog; each call is
    // one turn of those that its host gives. Null: at once.
    std::function<SteadyTime(SteadyTime now)> pace = {};
    WallTime created;                        // of the stream; max_age_s counts from it at most
    std::uint64_t memory_bytes_max = ~0ull;  // held beyond: nothing is gathered behind the head
    // A replay of the records before that offset, beside the stream itself: its batches have ids of
    // their own, and it is done at the end (finished()).
    struct Replay {
      ReplayId id;
      Offset to;
    };
    std::optional<Replay> replay = {};
  };
  // Where it stood.
  struct Start {
    catalog::StreamStatus status = catalog::StreamStatus::Running;
    catalog::StreamStatus before_pause = catalog::StreamStatus::Running;
    std::string last_error;
    std::optional<int> remote_status;
    std::uint32_t revision = 1;
    std::chrono::seconds failing{0};     // failing_for() of the former process
    bool new_destination = false;        // `status` came about with another one
    Offset cursor;                       // where the stream began
    std::optional<JournalEntry> entry;   // how far it came
    SettledAhead ahead = {};             // and beyond
    Offset end;                          // of the log
    std::optional<Offset> park_to = {};  // park_to() of the former process
  };

  StreamMachine(Options options, Start start);

  // Events. `now` never goes back.
  Actions begin(SteadyTime now);  // first
  Actions records_ready(Offset end, SteadyTime now);
  // What a read at wants_read() found.
  Actions read_done(const Result<recordlog::ReadResult>& result, SteadyTime now);
  Actions frozen(const Result<void>& result, SteadyTime now);
  Actions saved(const Result<void>& result, SteadyTime now);
  // Conflict: the stream has as many dead letters as it may, which is an Error of the stream.
  Actions parked(const Result<void>& result, SteadyTime now);
  // `batch` is what Actions::send asked for.
  Actions sent(const connectors::RecordBatch& batch, const connectors::SendOutcome& outcome,
               SteadyTime now);
  Actions timer(SteadyTime now);
  // Conflict: not possible in this state, and nothing has changed.
  Result<Actions> command(Command command, SteadyTime now);
  // Gives up the records before `to`, in Paused or Error only (else Conflict): as dead letters, or
  // dropped and counted.
  Result<Actions> skip(Offset to, bool park, SteadyTime now);
  // An attempt under way ends under the settings it began with. `new_destination`: records go
  // elsewhere, or there in another way, so that former failures say nothing.
  Actions change(Settings settings, bool new_destination, SteadyTime now);
  Actions release(SteadyTime now);  // memory is short: gives back what no attempt is using
  Actions stop(SteadyTime now);     // begins nothing more, saves the cursor
  Actions abandon(SteadyTime now);  // after stop(): does not await the attempt under way
  // Another stream is to go on from the cursor: begins nothing more. closed() when the attempt
  // under way has ended.
  Actions close(SteadyTime now);
  Actions reopen(SteadyTime now);  // it is not to, after all

  // It knows of records that it has yet to read, and goes on with them: that there are more still
  // changes nothing. more_ready() is no event, and is enough then in place of records_ready().
  bool is_behind() const { return running() && !own_fault_until_ && read_at_ < end_; }
  void more_ready(Offset end);

  // It uses the memory it holds: for an attempt, or for a batch that it reads. What merely waits,
  // for more records or a retry, is given back by release().
  bool uses_memory() const { return sending() || wants_read(); }
  // What is read next belongs to a batch that is partly in memory.
  bool amid_a_batch() const { return reload_ ? !reload_->empty() : !next_.empty(); }

  // Where to read next, once for each read_done(); nullopt: nowhere.
  std::optional<Offset> wants_read() const;
  // When to call timer(), at the latest. Always later than the last event.
  std::optional<SteadyTime> wake_at() const;
  // After stop(): nothing is under way any more.
  bool stopped() const;
  // After close(): nothing is under way any more.
  bool closed() const;
  // First and last record that may have arrived although the cursor has not passed them: an answer
  // was lost, a process before may have sent them, or they are settled ahead of it.
  std::optional<std::pair<Offset, Offset>> in_doubt() const;
  // A replay: everything before its end is settled.
  bool finished() const;
  // A replay: records still to be sent; nullopt until all were read.
  std::optional<std::uint64_t> rest() const;

  // How it stands.
  catalog::StreamStatus status() const {
    return unusable() ? catalog::StreamStatus::Error : status_;
  }
  const std::string& last_error() const { return unusable() ? settings_.unusable : last_error_; }
  std::optional<int> remote_status() const { return remote_status_; }
  std::uint64_t delivered() const { return delivered_ + ahead_.counts().delivered; }
  std::uint64_t skipped() const { return skipped_ + ahead_.counts().skipped; }
  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t parked_count() const { return parked_ + ahead_.counts().parked; }
  const Losses& losses() const { return losses_; }
  Offset cursor() const { return cursor_; }
  // What the next process is to be told of all this (Start).
  catalog::StreamStatus kept_status() const { return status_; }
  catalog::StreamStatus before_pause() const { return before_pause_; }
  const std::string& kept_error() const { return last_error_; }
  std::uint32_t revision() const { return revision_; }
  Offset start() const { return start_; }
  std::optional<Offset> park_to() const { return park_to_; }
  std::uint32_t settings_revision() const { return settings_.settings_revision; }
  std::chrono::seconds failing_for(SteadyTime now) const { return failure_clock_.elapsed(now); }
  bool failing() const { return failures_ > 0; }   // since the last success
  std::optional<SteadyTime> next_attempt() const;  // while it waits after a failure
  std::optional<WallTime> oldest_stored() const { return oldest_stored_; }
  std::uint64_t memory_bytes() const;  // of the chunks held
  const Selection& selection() const { return selection_; }

 private:
  // What the batch at the head, head_, is waiting for.
  enum class Phase : std::uint8_t {
    Ready,     // not_before_, its bytes, or nothing
    Freezing,  // frozen()
    Sending,   // sent()
    Parking,   // parked()
  };
  struct Change {
    Settings settings;
    bool new_destination = false;
  };

  // Only the settings are to blame: gone as soon as they are mended.
  bool unusable() const {
    return status_ == catalog::StreamStatus::Running && !settings_.unusable.empty();
  }
  bool ending() const { return stopping_ || closing_; }
  bool running() const { return status() == catalog::StreamStatus::Running && !ending(); }
  // On a command to park: also while Paused or in Error, and before anything is sent.
  bool parking() const {
    return park_to_ && status_ != catalog::StreamStatus::Disabled && !ending();
  }
  bool works() const { return running() || parking(); }
  bool in_error() const {  // now, or once the pause is over
    const bool paused = status_ == catalog::StreamStatus::Paused;
    return (paused ? before_pause_ : status_) == catalog::StreamStatus::Error;
  }
  bool sending() const {
    return head_ && (phase_ == Phase::Sending || (run_ && run_->any(Lane::Phase::Sending)));
  }
  bool head_busy() const { return head_ && (phase_ != Phase::Ready || (run_ && run_->busy())); }
  bool idle() const { return !saving_ && !keeping_ahead_ && !head_busy(); }
  bool fans_out() const { return settings_.delivery.parallel > 1 && !parking(); }

  void take_over(const JournalEntry& entry);
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
  Offset gathering_at() const;
  std::optional<Offset> part_to() const;
  std::optional<Offset> gather_to() const;
  void see_end(Offset end);
  connectors::BatchLimits limits() const;
  bool caught_up() const { return gathering_at() >= end_; }

  // Reading the head's very records again.
  void begin_loading();
  void loaded(const recordlog::ReadResult& result);
  void finish_loading(ChunkPart rest);
  void let_go();

  // The head's way out.
  bool head_waits(SteadyTime now) const;
  bool has_turn() const { return begun_ && (failures_ == 0 || paced_); }
  SteadyTime take_turn(SteadyTime now);
  void freeze_head();
  bool push_head(SteadyTime now);
  void attempt(SteadyTime now);
  void describe(connectors::RecordBatch& records) const;
  void confirm(std::uint32_t skipped, SteadyTime now);
  void confirm_up_to(std::uint32_t record, std::uint32_t skipped, SteadyTime now);
  void succeeded(SteadyTime now);
  void pass_head(SteadyTime now);
  void move_cursor(Offset to);
  void drop_head();
  void split_head(std::uint32_t records);
  void note_settled(std::uint32_t records, std::uint32_t skipped, SteadyTime now);
  void note_cut(std::uint32_t records, std::uint32_t batches);
  void note_doubt(const connectors::RecordBatch& records, const connectors::SendOutcome& outcome);
  void count_failure(SteadyTime now);
  void retry(const connectors::RetryLater& outcome, SteadyTime now);
  void rejected(const connectors::Rejected& outcome, int status, SteadyTime now);
  void refused_alone(const connectors::Rejected& outcome, int status, SteadyTime now);
  void set_aside(const connectors::SetAside& outcome);
  void misconfigured(const std::string& reason, SteadyTime now);
  void begin_parking();
  void park_head(std::string reason, std::optional<int> status);
  void count_refused(SteadyTime now);
  bool age_out(SteadyTime now);
  std::optional<SteadyTime> age_limit(WallTime newest, SteadyTime now) const;
  Milliseconds last_chance_before_end() const;
  void note_age(SteadyTime now);

  // Batches that are not held.
  bool may_stream() const;
  void hold_or_let_go(Batch& batch) const;
  void cut_again(std::uint32_t records);

  // The same for a run (stream_run.cc).
  bool push_run(SteadyTime now);
  bool push_lane(Lane& lane, SteadyTime now);
  void attempt(Lane& lane, SteadyTime now);
  bool age_out(Lane& lane, SteadyTime now);
  void note_age(Lane& lane, SteadyTime now);
  void settle(Lane& lane, std::uint32_t records, Settled how);
  void pass_run(SteadyTime now);
  void sent(Lane& lane, const connectors::SendOutcome& outcome, SteadyTime now);
  void confirm(Lane& lane, std::uint32_t records, std::uint32_t skipped, SteadyTime now);
  void retry(Lane& lane, const connectors::RetryLater& outcome, SteadyTime now);
  void misconfigured(Lane& lane, const std::string& reason, SteadyTime now);
  void rejected(Lane& lane, const connectors::Rejected& outcome, int status, SteadyTime now);
  void to_park(Lane& lane, std::uint32_t records, const std::string& reason,
               std::optional<int> refused_with, SteadyTime now);
  void park_lane();
  void parked(Lane& lane, const Result<void>& result, SteadyTime now);
  void forget_misconfigured();
  void lanes_go_now(SteadyTime now, bool forget_failures);
  SteadyTime starts(const Lane& lane) const;
  std::size_t turns() const;
  std::optional<SteadyTime> next_start() const;
  void wake_run(std::optional<SteadyTime>& at) const;
  bool leave_settled_out();
  void stop_before_settled();
  void keep_ahead();
  void fail(std::string reason, SteadyTime now);
  void release_memory();

  void save_cursor(SteadyTime now);
  void save_anew(SteadyTime now);
  bool may_save() const;
  JournalEntry entry() const;
  JournalEntry boundary_entry() const;

  void apply_change(SteadyTime now);
  void forget_failures(SteadyTime now);
  void drop();
  void own_fault(std::string reason, SteadyTime now);
  void own_fault_over(SteadyTime now);
  void check_health(SteadyTime now);
  void set_last_error(std::string text);
  static void sooner(std::optional<SteadyTime>& time, std::optional<SteadyTime> other);
  SteadyTime interval_over() const;
  SteadyTime linger_over() const;

  const Options options_;  // but for the settings
  Settings settings_;
  Selection selection_;
  std::optional<Change> change_;  // until the attempt under way has ended
  Actions actions_;               // being put together

  // What the catalog shows.
  catalog::StreamStatus status_;
  catalog::StreamStatus before_pause_;
  std::string last_error_;
  std::optional<int> remote_status_;
  std::uint32_t revision_;

  // What is settled: everything before cursor_.
  Offset cursor_;
  std::optional<Offset> previous_;
  connectors::FirstStored delivered_stored_;
  std::uint64_t delivered_ = 0;
  std::uint64_t skipped_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t parked_ = 0;
  Losses losses_;
  SettledAhead ahead_;          // settled too
  bool keeping_ahead_ = false;  // parked() is to come for that
  bool ahead_kept_ = false;     // on the way out
  Offset start_;
  // What lies before it is dropped, once the attempt under way has ended.
  std::optional<Offset> drop_to_;
  std::optional<Offset> park_to_;  // what lies before it becomes dead letters

  Offset end_;       // of the log, as far as known
  Offset read_at_;   // where gathering reads on; everything before is in head_, next_, carry_
  ChunkPart carry_;  // what is left of a chunk that was read
  std::optional<WallTime> oldest_stored_;
  bool peeked_ = false;  // looked for it while not running

  std::optional<Batch> head_;  // the batch that is sent next or now
  Phase phase_ = Phase::Ready;
  std::optional<Run> run_;       // head_ is one, and was loaded once
  std::optional<Batch> reload_;  // head_'s records as they are read again, from load_at_ on
  Offset load_at_;
  Batch next_;  // gathers behind it
  // Of a refused batch: the last offsets of its parts that are still to be sent, the next one last.
  std::vector<Offset> parts_;
  std::optional<std::uint32_t> cut_next_;  // likewise: how many records the next one has at most
  bool freeze_next_ = false;               // the journal does not know revision_ and formatter yet
  std::optional<SteadyTime> sendable_since_;  // next_, for the linger
  std::optional<SteadyTime> last_begin_;      // of a batch, for the interval

  std::optional<std::pair<Offset, Offset>> in_doubt_;

  SteadyTime not_before_;  // of the head's next attempt
  SteadyTime sent_at_;
  std::optional<Milliseconds> answered_took_;
  std::uint32_t failures_ = 0;  // in a row
  bool begun_ = false;          // an attempt, in this process; or nothing waited at its start
  bool paced_ = false;          // it has its turn, after the last failure
  struct Counts {               // what is saved with the cursor
    std::uint16_t rejected = 0;
    std::uint16_t misconfigured = 0;
    std::uint32_t cut_records = 0;
    std::uint16_t cut_delivered = 0;
    friend bool operator==(const Counts&, const Counts&) = default;
  };
  Counts counts_;
  bool refused_ = false;                   // what is being parked was; else skipped
  std::optional<SteadyTime> ages_out_at_;  // the head, by delivery.max_age_s
  FailureClock failure_clock_;
  const std::chrono::seconds failed_before_;

  std::optional<SteadyTime> own_fault_until_;  // disk or journal failed: all stands still
  bool own_error_ = false;                     // last_error_ is about that

  struct Saved {
    Offset cursor;
    Counts counts;
    friend bool operator==(const Saved&, const Saved&) = default;
  };
  std::optional<Saved> saved_;  // in the newest entry appended; none if that failed
  Saved freezing_;
  std::optional<JournalEntry::Kind> saving_;  // saved() is to come
  std::uint32_t unsaved_batches_ = 0;
  std::optional<SteadyTime> save_due_;

  bool stopping_ = false;
  bool closing_ = false;
  bool abandoned_ = false;
};

}  // namespace sluice::dispatch
