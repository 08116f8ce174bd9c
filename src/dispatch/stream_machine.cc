#include "dispatch/stream_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/units.h"
#include "dispatch/stream_parts.h"

namespace sluice::dispatch {
namespace {

using catalog::StreamStatus;

constexpr const char* kSkipped = "skipped by command";

constexpr const char* kLogTruncated =
    "LogTruncated: offset {} lies beyond the end of the record log, so the log was lost or "
    "replaced; bring it back and restart the stream, or delete the stream";

}  // namespace

StreamMachine::StreamMachine(Options options, Start start)
    : options_(std::move(options)),
      settings_(options_.settings),
      selection_(options_.stream, settings_.filter, options_.evaluator),
      status_(start.status == StreamStatus::Pending ? StreamStatus::Running : start.status),
      before_pause_(start.before_pause),
      last_error_(std::move(start.last_error)),
      remote_status_(start.remote_status),
      revision_(start.revision),
      cursor_(start.cursor),
      ahead_(std::move(start.ahead)),
      start_(start.cursor),
      park_to_(start.park_to),
      read_at_(start.cursor),
      failed_before_(start.failing),
      saved_(Saved{start.cursor, {}}) {
  see_end(start.end);
  if (start.new_destination && status_ == StreamStatus::Error) {
    status_ = StreamStatus::Running;
    last_error_.clear();
  }
  if (start.entry) {
    take_over(*start.entry);
  } else {
    freeze_next_ = true;  // else a next life could not tell that its formatter is another
  }
  if (start.new_destination) counts_.rejected = counts_.misconfigured = 0;
  if (park_to_ && cursor_ >= *park_to_) park_to_.reset();
  if (park_to_) begin_parking();
  begun_ = caught_up();
}

void StreamMachine::take_over(const JournalEntry& entry) {
  cursor_ = read_at_ = entry.cursor;
  ahead_.pass(cursor_);  // the entry has those counted
  previous_ = entry.previous;
  delivered_stored_ = {entry.usage_stored_s, entry.event_stored_s};
  delivered_ = entry.delivered;
  skipped_ = entry.skipped;
  dropped_ = entry.dropped;
  parked_ = entry.parked;
  losses_ = {entry.aged_out, entry.damaged};
  counts_ = {entry.rejected_in_a_row, entry.misconfigured_in_a_row, entry.cut_records,
             entry.cut_delivered};
  saved_ = Saved{cursor_, counts_};
  revision_ = std::max(revision_, entry.revision);
  if (entry.filter_revision != settings_.filter_revision ||
      entry.render_revision != settings_.render_revision) {
    // What was sent since under the old ids had other bytes.
    ++revision_;
  }
  freeze_next_ = revision_ != entry.revision;
  if (start_ > cursor_) {
    // It was Disabled, and the journal missed how far.
    drop_to_ = start_;
    drop();
    return;
  }
  if (entry.kind != JournalEntry::Kind::Boundary || freeze_next_) return;
  head_.emplace();
  head_->records.first = entry.cursor;
  head_->records.last = entry.last;
  head_->records.records = entry.records;
  head_->full = true;
  head_->loaded = false;
  // The entry may be in the page cache only.
  head_->must_freeze = true;
  in_doubt_ = {entry.cursor, entry.last};
  read_at_ = next(entry.last);
}

// What lies behind a replay's end is none of its own.
void StreamMachine::see_end(Offset end) {
  if (options_.replay) end = std::min(end, options_.replay->to);
  end_ = std::max(end_, end);
}

void StreamMachine::sooner(std::optional<SteadyTime>& time, std::optional<SteadyTime> other) {
  if (other && (!time || *other < *time)) time = other;
}

Actions StreamMachine::finish(SteadyTime now) {
  advance(now);
  return std::exchange(actions_, Actions{});
}

// Does all that the state allows; each step may make the next one possible.
void StreamMachine::advance(SteadyTime now) {
  // Whatever event is the first behind it, not timer() alone.
  if (own_fault_until_ && now >= *own_fault_until_) own_fault_until_.reset();
  if (change_ && !head_busy()) apply_change(now);
  if (status_ == StreamStatus::Disabled) drop_to_ = end_;
  if (drop_to_ && !head_busy()) drop();
  if (run_ && parking() && !head_busy()) begin_parking();
  if (run_) park_lane();
  if (running()) check_health(now);
  if (!works()) {
    release_memory();
  } else if (!own_fault_until_) {
    do {
      gather();
      if (!head_ && may_close(now)) close_next();
    } while (push_head(now));
    gather();
    pass_over_unwanted();
  }
  save_cursor(now);
  if (stopping_ && !head_busy()) keep_ahead();
}

Actions StreamMachine::begin(SteadyTime now) {
  not_before_ = now;
  if (failed_before_ > failed_before_.zero()) {
    failure_clock_.start_at(failed_before_, now);
    if (status_ != StreamStatus::Running) failure_clock_.hold(now);
  }
  return finish(now);
}

Actions StreamMachine::records_ready(Offset end, SteadyTime now) {
  see_end(end);
  peeked_ = false;
  return finish(now);
}

void StreamMachine::more_ready(Offset end) {
  SLUICE_ASSERT(is_behind());
  see_end(end);
}

Actions StreamMachine::timer(SteadyTime now) { return finish(now); }

std::optional<SteadyTime> StreamMachine::wake_at() const {
  std::optional<SteadyTime> at = own_fault_until_;
  if (running() && !parking() && !own_fault_until_) {
    if (head_ && phase_ == Phase::Ready) {
      if (run_) {
        wake_run(at);
      } else if (!reload_) {
        sooner(at, head_->attempts == 0 ? std::max(not_before_, interval_over()) : not_before_);
        sooner(at, ages_out_at_);
      }
      if (head_->attempts > 0) sooner(at, failure_clock_.reaches(settings_.delivery.error_after));
    } else if (!head_ && !next_.empty() && caught_up()) {
      sooner(at, std::max(linger_over(), interval_over()));
    }
  }
  if (may_save()) sooner(at, save_due_);
  return at;
}

// ---- Reading -----------------------------------------------------------------------------------

std::optional<Offset> StreamMachine::wants_read() const {
  if (own_fault_until_ || ending()) return std::nullopt;
  if (status_ == StreamStatus::Disabled) return std::nullopt;
  if (!works()) {
    // Once, to know how old the oldest waiting record is.
    const bool look = !head_busy() && !oldest_stored_ && !peeked_ && cursor_ < end_;
    return look ? std::optional(cursor_) : std::nullopt;
  }
  if (reload_) return load_at_;
  if (may_gather() && !next_.full && carry_.empty() && read_at_ < end_) return read_at_;
  return std::nullopt;
}

Actions StreamMachine::read_done(const Result<recordlog::ReadResult>& result, SteadyTime now) {
  const std::optional<Offset> asked = wants_read();
  SLUICE_ASSERT(asked.has_value());
  const bool looking = !works();
  if (looking) peeked_ = true;
  if (!result) {
    if (looking) return finish(now);
    if (result.error().code == ErrorCode::NotFound) {
      fail(fmt::format(kLogTruncated, asked->value()), now);
    } else {
      own_fault("the record log cannot be read: " + result.error().message, now);
    }
    return finish(now);
  }
  see_end(result->resume);
  if (looking) {
    if (result->chunk) oldest_stored_ = result->chunk->stored;
  } else if (!result->chunk && result->resume <= *asked) {
    own_fault("the record log does not show its newest records", now);
  } else {
    own_fault_over(now);
    if (reload_) {
      loaded(*result);
    } else {
      gathered(*result);
    }
  }
  return finish(now);
}

// ---- Gathering ---------------------------------------------------------------------------------

bool StreamMachine::may_gather() const {
  if (!works()) return false;
  // One batch ahead, but not behind a destination that fails.
  if (!head_) return true;
  return head_->loaded && failures_ == 0 && memory_bytes() < options_.memory_bytes_max;
}

void StreamMachine::gather() {
  if (carry_.empty() || next_.full || !may_gather()) return;
  const WallTime stored = carry_.chunk->stored;
  const std::uint32_t end = carry_.end;
  if (const std::optional<Offset> to = gather_to()) {
    const std::uint64_t first = carry_.chunk->first.value();
    const std::uint64_t beyond = std::max(next(*to).value(), first + carry_.begin) - first;
    carry_.end = static_cast<std::uint32_t>(std::min<std::uint64_t>(beyond, end));
  }
  selection_.take(next_, carry_, limits());
  hold_or_let_go(next_);
  carry_.end = end;
  // Where nothing passes, the age of what is passed over tells how far the stream is behind.
  if (!head_) oldest_stored_ = next_.empty() ? stored : next_.stored;
  if (carry_.empty()) carry_ = {};
}

void StreamMachine::gathered(const recordlog::ReadResult& result) {
  Losses& losses = next_.empty() ? next_.before : next_.inside;
  losses.add({result.aged_out, result.damaged});
  if (result.chunk && result.chunk->end() > read_at_) {
    const std::uint64_t first = result.chunk->first.value();
    const std::uint64_t skip = std::max(read_at_.value(), first) - first;
    carry_ = {result.chunk, static_cast<std::uint32_t>(skip), result.chunk->count()};
  }
  read_at_ = std::max(read_at_, result.resume);
}

// With no batch open, records that are not wanted, gaps and losses move the cursor.
void StreamMachine::pass_over_unwanted() {
  if (head_ || !next_.empty()) return;
  losses_.add(std::exchange(next_.before, Losses{}));
  if (options_.replay && caught_up()) {  // what is left of the chunk lies behind it
    carry_ = {};
    read_at_ = end_;
  }
  move_cursor(gathering_at());
  if (caught_up()) oldest_stored_.reset();
  if (park_to_ && cursor_ >= *park_to_) {
    park_to_.reset();
    if (!running()) release_memory();
  }
}

Offset StreamMachine::gathering_at() const {
  return carry_.empty() ? read_at_ : plus(carry_.chunk->first, carry_.begin);
}

// The last record that the next batch may have, if something other than the limits and the end of
// all bounds it.
std::optional<Offset> StreamMachine::part_to() const {
  if (park_to_) return Offset{park_to_->value() - 1};
  if (!parts_.empty()) {
    const Offset from = next_.empty() ? gathering_at() : next_.records.first;
    const auto part =
        std::find_if(parts_.rbegin(), parts_.rend(), [=](Offset last) { return last >= from; });
    if (part != parts_.rend()) return *part;
  }
  return std::nullopt;
}

std::optional<Offset> StreamMachine::gather_to() const {
  const std::optional<Offset> part = part_to();
  if (part || !options_.replay) return part;
  return Offset{options_.replay->to.value() - 1};
}

connectors::BatchLimits StreamMachine::limits() const {
  connectors::BatchLimits limits = settings_.limits;
  if (fans_out()) return {kRunRecordsMax, kRunBytesMax, limits.linger};
  if (counts_.cut_records != 0 && !part_to()) {
    limits.records_max = std::min(limits.records_max, counts_.cut_records);
  }
  if (cut_next_) limits.records_max = std::min(limits.records_max, *cut_next_);
  if (limits.held_bytes_max && !may_stream()) {
    limits.bytes_max = std::min(limits.bytes_max, *limits.held_bytes_max);
  }
  return limits;
}

// Dead letters are handed over in memory, and what is settled already is looked for in it.
bool StreamMachine::may_stream() const {
  return settings_.limits.held_bytes_max && !fans_out() && !parking() && ahead_.empty();
}

// One record alone is always held: should it be refused, it becomes a dead letter.
void StreamMachine::hold_or_let_go(Batch& batch) const {
  const bool is_large = may_stream() && batch.records.records > 1 &&
                        batch.memory_bytes > *settings_.limits.held_bytes_max;
  if (batch.streamed || is_large) let_go_of_bytes(batch);
}

bool StreamMachine::may_close(SteadyTime now) {
  if (next_.empty()) return false;
  if (!sendable_since_) sendable_since_ = now;
  const std::optional<Offset> to = gather_to();
  if (to && gathering_at() > *to) next_.full = true;
  if (next_.full || (parking() && caught_up())) return true;
  return caught_up() && now >= linger_over() && now >= interval_over();
}

void StreamMachine::close_next() {
  const bool bounded = part_to() || counts_.cut_records != 0 || cut_next_ ||
                       (settings_.limits.held_bytes_max && !may_stream());
  cut_next_.reset();
  head_ = std::exchange(next_, Batch{});
  phase_ = Phase::Ready;
  sendable_since_.reset();
  if (head_->inside.any()) {
    // It may have been sent before a crash, with what is lost by now.
    ++revision_;
    freeze_next_ = true;
  }
  // What a crash forgets must not have decided the cut.
  head_->must_freeze = !head_->full || bounded || freeze_next_;
  losses_.add(std::exchange(head_->before, Losses{}));
  move_cursor(head_->records.first);
  oldest_stored_ = head_->stored;
  if (!ahead_.empty() && settings_.delivery.parallel == 1 && !parking()) stop_before_settled();
}

void StreamMachine::forget_gathered() {
  next_ = {};
  carry_ = {};
  sendable_since_.reset();
  read_at_ = head_ ? next(head_->records.last) : cursor_;
}

SteadyTime StreamMachine::linger_over() const {
  SLUICE_ASSERT(sendable_since_.has_value());
  return *sendable_since_ + settings_.limits.linger.value_or(settings_.delivery.linger);
}

SteadyTime StreamMachine::interval_over() const {
  return last_begin_ ? *last_begin_ + settings_.delivery.interval : SteadyTime::min();
}

// ---- Reading the head again --------------------------------------------------------------------

void StreamMachine::begin_loading() {
  forget_gathered();
  reload_.emplace();
  load_at_ = head_->records.first;
}

void StreamMachine::loaded(const recordlog::ReadResult& result) {
  const Offset after = next(head_->records.last);
  Losses& losses = reload_->empty() ? reload_->before : reload_->inside;
  losses.add({result.aged_out, result.damaged});
  ChunkPart rest;
  if (const ChunkPtr& chunk = result.chunk) {
    const auto index = [&](Offset offset) {
      const std::uint64_t at = std::max(offset, chunk->first).value() - chunk->first.value();
      return static_cast<std::uint32_t>(std::min<std::uint64_t>(at, chunk->count()));
    };
    const std::uint32_t begin = index(load_at_);
    const std::uint32_t end = index(after);
    ChunkPart part{chunk, begin, end};
    selection_.take(*reload_, part, kNoLimits);  // whatever the limits are by now
    hold_or_let_go(*reload_);
    if (end < chunk->count()) rest = {chunk, end, chunk->count()};
  }
  load_at_ = std::max(load_at_, result.resume);
  if (load_at_ >= after) finish_loading(std::move(rest));
}

void StreamMachine::finish_loading(ChunkPart rest) {
  Batch read = std::move(*reload_);
  reload_.reset();
  if (read.records.records != head_->records.records ||
      read.records.first != head_->records.first || read.records.last != head_->records.last) {
    let_go();
    return;
  }
  head_->records.bytes = read.records.bytes;
  head_->records.runs = std::move(read.records.runs);
  head_->joined_bytes = read.joined_bytes;
  head_->memory_bytes = read.memory_bytes;
  head_->streamed = read.streamed;
  head_->first_stored = read.first_stored;
  head_->stored = read.stored;
  head_->newest = read.newest;
  head_->inside = read.inside;
  head_->loaded = true;
  oldest_stored_ = head_->stored;
  carry_ = std::move(rest);
  read_at_ = load_at_;
}

// Part of the batch is lost, or it is another by other settings: an id never stands for other
// bytes, so what is there is cut anew under the next revision.
void StreamMachine::let_go() {
  drop_head();
  ++revision_;
  freeze_next_ = true;
  oldest_stored_.reset();
  forget_gathered();
}

// ---- The head's way out ------------------------------------------------------------------------

// With all that is known of its way out.
void StreamMachine::drop_head() {
  head_.reset();
  run_.reset();
  parts_.clear();
  cut_next_.reset();
}

void StreamMachine::move_cursor(Offset to) {
  cursor_ = to;
  const auto [counts, last] = ahead_.pass(cursor_);
  delivered_ += counts.delivered;
  parked_ += counts.parked;
  losses_.aged_out += counts.aged_out;
  skipped_ += counts.skipped;
  previous_ = std::max(previous_, last);
}

// For its back-off or, if it was not tried yet, for the interval.
bool StreamMachine::head_waits(SteadyTime now) const {
  if (run_) return next_start().value_or(SteadyTime::max()) > now;
  return now < not_before_ || (head_->attempts == 0 && now < interval_over());
}

// True: the head is out of the way, without an attempt.
bool StreamMachine::push_head(SteadyTime now) {
  if (!head_ || phase_ != Phase::Ready || reload_) return false;
  if (run_ && parking()) return false;  // until its requests have ended
  if (parking()) {
    if (!head_->loaded) {
      begin_loading();
    } else if (leave_settled_out()) {
      park_head(kSkipped, std::nullopt);
    } else {
      pass_head(now);
      return true;
    }
    return false;
  }
  if (fans_out() || run_) return push_run(now);
  if (age_out(now)) return true;
  if (head_waits(now)) return false;
  if (head_->must_freeze && !head_->frozen) {
    freeze_head();
  } else if (!has_turn() && take_turn(now) > now) {
    if (not_before_ - now >= kHoldWhileWaiting) release_memory();
  } else if (!head_->loaded) {
    begin_loading();
  } else {
    attempt(now);
  }
  return false;
}

// Only what has failed or begins with a backlog asks; then it waits, and goes without asking again.
SteadyTime StreamMachine::take_turn(SteadyTime now) {
  begun_ = paced_ = true;
  const SteadyTime at = options_.pace ? options_.pace(now) : now;
  if (at > now) (run_ ? run_->hold_until : not_before_) = at;
  return at;
}

void StreamMachine::attempt(SteadyTime now) {
  connectors::RecordBatch& records = head_->records;
  if (head_->attempts == 0) {
    describe(records);
    last_begin_ = now;
  }
  records.attempt = ++head_->attempts;
  phase_ = Phase::Sending;
  sent_at_ = now;
  actions_.send.push_back(&records);
}

void StreamMachine::describe(connectors::RecordBatch& records) const {
  records.stream = options_.stream;
  records.organisation = options_.organisation;
  if (options_.replay) records.replay = options_.replay->id;
  records.webhook_id =
      fmt::format("{}{}-{}-{}-{}", options_.stream.value(),
                  options_.replay ? fmt::format("-r{}", options_.replay->id.value()) : "",
                  revision_, records.first.value(), records.last.value());
  records.previous = previous_;
  records.delivered_stored = delivered_stored_;
}

std::optional<SteadyTime> StreamMachine::next_attempt() const {
  if (!head_ || head_busy() || failures_ == 0 || !running()) return std::nullopt;
  return run_ ? next_start() : not_before_;
}

// ---- State, faults, memory ---------------------------------------------------------------------

Result<Actions> StreamMachine::command(Command command, SteadyTime now) {
  const bool paused = status_ == StreamStatus::Paused;
  const bool disabled = status_ == StreamStatus::Disabled;
  switch (command) {
    case Command::Pause:
      if (paused) return Error{ErrorCode::Conflict, "the stream is paused already"};
      if (disabled) {
        return Error{ErrorCode::Conflict, "the stream is disabled: set its status to 1 first"};
      }
      before_pause_ = status_;
      status_ = StreamStatus::Paused;
      failure_clock_.hold(now);
      break;
    case Command::Resume:
      if (status() == StreamStatus::Error) {
        return Error{ErrorCode::Conflict, "the stream is in Error: use restart"};
      }
      if (paused) {
        status_ = before_pause_;
        if (!own_error_) failure_clock_.go_on(now);
      } else if (disabled) {
        status_ = StreamStatus::Running;
        drop_to_ = start_ = std::max(cursor_, end_);
        set_last_error("");
      }
      break;
    case Command::Restart:
      if (paused || disabled) {
        return Error{ErrorCode::Conflict, paused ? "the stream is paused: set its status to 1"
                                                 : "the stream is disabled: set its status to 1"};
      }
      if (status_ == StreamStatus::Error) {
        status_ = StreamStatus::Running;
        set_last_error("");
      }
      not_before_ = now;
      lanes_go_now(now, /*forget_failures=*/false);
      begun_ = false;  // many may be restarted at a time
      own_fault_until_.reset();
      counts_.rejected = counts_.misconfigured = 0;
      break;
    case Command::Disable:
      status_ = StreamStatus::Disabled;
      before_pause_ = StreamStatus::Running;
      forget_failures(now);
      own_fault_until_.reset();
      park_to_.reset();
      actions_.cancel = sending() && !disabled;
      sooner(save_due_, now);
      break;
  }
  peeked_ = false;
  return finish(now);
}

void StreamMachine::forget_failures(SteadyTime now) {
  failures_ = 0;
  failure_clock_.reset();
  answered_took_.reset();
  counts_.rejected = counts_.misconfigured = 0;
  not_before_ = now;
  lanes_go_now(now, /*forget_failures=*/true);
}

// Disabled, or just no more: passes over all that is there, undelivered.
void StreamMachine::drop() {
  const Offset to = *std::exchange(drop_to_, std::nullopt);
  if (head_) save_due_ = SteadyTime::min();  // its boundary may be in the journal
  drop_head();
  reload_.reset();
  if (to > cursor_) {
    dropped_ += to.value() - cursor_.value();
    const std::uint64_t settled = ahead_.counts().all();
    move_cursor(to);
    dropped_ -= settled - ahead_.counts().all();
  }
  oldest_stored_.reset();
  forget_gathered();
}

Actions StreamMachine::change(Settings settings, bool new_destination, SteadyTime now) {
  new_destination = new_destination || (change_ && change_->new_destination);
  change_ = Change{std::move(settings), new_destination};
  return finish(now);
}

void StreamMachine::apply_change(SteadyTime now) {
  Change change = std::move(*change_);
  change_.reset();
  const bool cut_anew = change.settings.filter_revision != settings_.filter_revision ||
                        change.settings.render_revision != settings_.render_revision;
  settings_ = std::move(change.settings);
  selection_ = Selection(options_.stream, settings_.filter, options_.evaluator);
  reload_.reset();
  if (cut_anew) {
    let_go();
  } else {
    forget_gathered();
  }
  peeked_ = false;
  if (!change.new_destination) return;
  forget_failures(now);
  if (status_ != StreamStatus::Error) return;
  status_ = StreamStatus::Running;
  set_last_error("");
}

void StreamMachine::check_health(SteadyTime now) {
  if (cursor_ > end_ || (head_ && head_->records.last >= end_)) {
    fail(fmt::format(kLogTruncated, cursor_.value()), now);
  } else if (head_ && phase_ == Phase::Ready && head_->attempts > 0) {
    const auto error_at = failure_clock_.reaches(settings_.delivery.error_after);
    if (error_at && now >= *error_at) {
      fail(fmt::format("no success for {} s; the last failure: {}",
                       settings_.delivery.error_after.count(), last_error_),
           now);
    }
  }
}

void StreamMachine::fail(std::string reason, SteadyTime now) {
  (status_ == StreamStatus::Paused ? before_pause_ : status_) = StreamStatus::Error;
  set_last_error(std::move(reason));
  failures_ = 0;
  failure_clock_.reset();
  own_fault_until_.reset();
  not_before_ = now;
  lanes_go_now(now, /*forget_failures=*/true);
}

// Nobody outside is to blame: the failure clock stands still until it is over.
void StreamMachine::own_fault(std::string reason, SteadyTime now) {
  own_fault_until_ = now + kOwnFaultWait;
  failure_clock_.hold(now);
  set_last_error(std::move(reason));
  own_error_ = true;
}

void StreamMachine::own_fault_over(SteadyTime now) {
  if (!own_error_) return;
  set_last_error("");
  if (status_ == StreamStatus::Running) failure_clock_.go_on(now);
}

void StreamMachine::set_last_error(std::string text) {
  own_error_ = false;
  last_error_ = std::move(text);
}

// A head that is about to be sent keeps its bytes: they would be read again at once.
Actions StreamMachine::release(SteadyTime now) {
  const bool goes_out =
      running() && !own_fault_until_ && head_ && head_->loaded && !head_waits(now);
  // The linger goes on, else a stream could wait for ever where memory stays short.
  const auto sendable_since = sendable_since_;
  goes_out ? forget_gathered() : release_memory();
  sendable_since_ = sendable_since;
  return finish(now);
}

void StreamMachine::release_memory() {
  reload_.reset();
  const bool in_use =
      phase_ == Phase::Sending || phase_ == Phase::Parking || (run_ && run_->busy());
  if (run_ && !in_use) {
    for (const std::uint32_t lane : run_->active) run_->lanes[lane].request.records.runs.clear();
  }
  if (head_ && head_->loaded && !in_use) {
    head_->records.runs.clear();
    head_->memory_bytes = 0;
    head_->loaded = false;
  }
  forget_gathered();
}

std::uint64_t StreamMachine::memory_bytes() const {
  std::uint64_t bytes = next_.memory_bytes;
  if (head_) bytes += head_->memory_bytes;
  if (reload_) bytes += reload_->memory_bytes;
  if (carry_.chunk) bytes += memory_of(*carry_.chunk);
  if (head_ && head_->streamed && phase_ == Phase::Sending) bytes += kStreamedAttemptBytes;
  return bytes;
}

Actions StreamMachine::stop(SteadyTime now) {
  stopping_ = true;
  if (closing_) save_anew(now);
  return finish(now);
}

Actions StreamMachine::close(SteadyTime now) {
  closing_ = true;
  return finish(now);
}

Actions StreamMachine::reopen(SteadyTime now) {
  closing_ = false;
  save_anew(now);
  return finish(now);
}

// While it was being closed once was enough, even if it failed.
void StreamMachine::save_anew(SteadyTime now) {
  saved_.reset();
  save_due_ = now;
}

bool StreamMachine::closed() const { return closing_ && idle(); }

std::optional<std::pair<Offset, Offset>> StreamMachine::in_doubt() const {
  const std::optional<std::pair<Offset, Offset>> ahead = ahead_.range();
  if (!in_doubt_ || in_doubt_->second < cursor_) return ahead;
  const std::pair lost(std::max(in_doubt_->first, cursor_), in_doubt_->second);
  if (!ahead) return lost;
  return std::pair(std::min(lost.first, ahead->first), std::max(lost.second, ahead->second));
}

Actions StreamMachine::abandon(SteadyTime now) {
  SLUICE_ASSERT(stopping_);
  abandoned_ = true;
  actions_.cancel = sending();
  return finish(now);
}

bool StreamMachine::finished() const {
  return options_.replay && !head_ && cursor_ >= options_.replay->to;
}

std::optional<std::uint64_t> StreamMachine::rest() const {
  if (!options_.replay || !caught_up()) return std::nullopt;
  return next_.records.records + (head_ ? head_->records.records : 0);
}

bool StreamMachine::stopped() const { return stopping_ && idle(); }

}  // namespace sluice::dispatch
