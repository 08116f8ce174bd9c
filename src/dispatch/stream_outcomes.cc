// StreamMachine: what becomes of a batch that was sent, or is not to be sent at all.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "dispatch/stream_machine.h"
#include "dispatch/stream_parts.h"

namespace sluice::dispatch {
namespace {

using catalog::StreamStatus;
using std::chrono::milliseconds;

constexpr std::uint16_t kCutGrowsAfter = 100;  // batches delivered

}  // namespace

std::uint32_t arrived(const connectors::Decision& decision) {
  if (const auto* later = std::get_if<connectors::RetryLater>(&decision)) {
    return later->first_failed;
  }
  if (const auto* aside = std::get_if<connectors::SetAside>(&decision)) return aside->first;
  const auto* refused = std::get_if<connectors::Rejected>(&decision);
  return refused != nullptr ? refused->record.value_or(0) : 0;
}

bool is_for_all(const connectors::Decision& decision) {
  const auto* refused = std::get_if<connectors::Rejected>(&decision);
  return arrived(decision) == 0 && !std::holds_alternative<connectors::SetAside>(decision) &&
         !(refused != nullptr && refused->record);
}

std::string gone_for_good(const connectors::Gone& outcome) {
  return fmt::format(
      "the destination is gone for good: {}; bring it back and restart the stream, or delete the "
      "stream",
      outcome.reason);
}

std::string wrong_for_good(const std::string& reason) {
  return fmt::format(
      "the destination or the stream's settings for it are wrong: {}; mend the destination and "
      "restart the stream, or change its settings",
      reason);
}

std::string refused_for_good(Offset record, const connectors::Rejected& outcome) {
  return fmt::format(
      "the destination refuses the record at offset {}: {}; make it accept the record and restart "
      "the stream, or skip the record",
      record.value(), outcome.reason);
}

Actions StreamMachine::sent(const connectors::RecordBatch& batch,
                            const connectors::SendOutcome& outcome, SteadyTime now) {
  SLUICE_ASSERT(sending());
  if (run_) {
    sent(run_->of(batch), outcome, now);
    return finish(now);
  }
  SLUICE_ASSERT(&batch == &head_->records);
  phase_ = Phase::Ready;
  using namespace connectors;
  const bool delivered = std::holds_alternative<Delivered>(outcome.decision);
  if (abandoned_ && !delivered) return finish(now);
  if (all_skipped(batch, outcome)) {
    confirm(batch.records, now);
    return finish(now);
  }
  SLUICE_ASSERT(!head_->streamed || is_for_all(outcome.decision));
  note_doubt(batch, outcome);
  if (!delivered) confirm_up_to(arrived(outcome.decision), outcome.skipped, now);
  if (drop_to_ && !delivered) return finish(now);
  remote_status_ = outcome.remote_status;
  if (outcome.answered) {
    answered_took_ = std::chrono::duration_cast<Milliseconds>(now - sent_at_);
  }
  const auto* wrong = std::get_if<Misconfigured>(&outcome.decision);
  if (wrong == nullptr) counts_.misconfigured = 0;
  if (delivered) {
    confirm(outcome.skipped, now);
  } else if (parking()) {
    begin_parking();
  } else if (const auto* later = std::get_if<RetryLater>(&outcome.decision)) {
    retry(*later, now);
  } else if (const auto* refused = std::get_if<Rejected>(&outcome.decision)) {
    rejected(*refused, outcome.remote_status, now);
  } else if (const auto* aside = std::get_if<SetAside>(&outcome.decision)) {
    set_aside(*aside);
  } else if (wrong != nullptr) {
    misconfigured(wrong->reason, now);
  } else {
    fail(gone_for_good(std::get<Gone>(outcome.decision)), now);
  }
  if (!delivered && status_ == StreamStatus::Running) {
    outcome.fault == Fault::Us ? failure_clock_.hold(now) : failure_clock_.go_on(now);
  }
  return finish(now);
}

void StreamMachine::note_doubt(const connectors::RecordBatch& records,
                               const connectors::SendOutcome& outcome) {
  // Where no connection came about nothing can have arrived.
  const bool unknown = outcome.fault == Fault::Destination || outcome.remote_status == 0;
  const bool delivered = std::holds_alternative<connectors::Delivered>(outcome.decision);
  if (delivered || outcome.answered || !unknown) return;
  if (!in_doubt_ || in_doubt_->second < cursor_) in_doubt_ = {records.first, records.last};
  in_doubt_ = {std::min(in_doubt_->first, records.first),
               std::max(in_doubt_->second, records.last)};
}

// ---- Delivered, or in part ---------------------------------------------------------------------

void StreamMachine::confirm(std::uint32_t skipped, SteadyTime now) {
  note_settled(head_->records.records, skipped, now);
  pass_head(now);
}

// The records before this one arrived; those from it on are a batch of their own.
void StreamMachine::confirm_up_to(std::uint32_t record, std::uint32_t skipped, SteadyTime now) {
  SLUICE_ASSERT(record < head_->records.records);
  if (record == 0) return;
  note_settled(record, skipped, now);
  previous_ = offset_of(head_->records, record - 1);
  // What was passed over behind it is looked at again should the filters change before the rest is
  // frozen.
  move_cursor(next(*previous_));
  narrow(*head_, record, head_->records.records);
  head_->must_freeze = true;
}

void StreamMachine::succeeded(SteadyTime now) {
  counts_.rejected = 0;
  failures_ = 0;
  failure_clock_.reset();
  not_before_ = now;
  if (!in_error()) set_last_error("");
  ++unsaved_batches_;
  sooner(save_due_, now + kSaveAfter);
}

// The head's first records. What was delivered also shows how large a batch may be.
void StreamMachine::note_settled(std::uint32_t records, std::uint32_t skipped, SteadyTime now) {
  SLUICE_ASSERT(skipped <= records);
  delivered_ += records - skipped;
  skipped_ += skipped;
  if (skipped == records) return;
  succeeded(now);
  const connectors::FirstStored first =
      head_->streamed ? head_->first_stored
                      : connectors::first_stored(head_->records.runs, records);
  if (first.usage_s != 0) delivered_stored_.usage_s = first.usage_s;
  if (first.event_s != 0) delivered_stored_.event_s = first.event_s;
  note_cut(records, 1);
}

// So many batches were delivered, of so many records at most.
void StreamMachine::note_cut(std::uint32_t records, std::uint32_t batches) {
  if (counts_.cut_records == 0) return;
  counts_.cut_records = std::max(counts_.cut_records, records);
  counts_.cut_delivered = static_cast<std::uint16_t>(counts_.cut_delivered + batches);
  if (counts_.cut_delivered >= kCutGrowsAfter) {
    counts_.cut_records *= 2;
    counts_.cut_delivered = 0;
  }
  if (counts_.cut_records >= settings_.limits.records_max) {
    counts_.cut_records = counts_.cut_delivered = 0;
  }
}

// Whatever became of it: the next batch's turn.
void StreamMachine::pass_head(SteadyTime now) {
  move_cursor(next(head_->records.last));
  previous_ = head_->records.last;
  losses_.add(head_->inside);
  head_.reset();
  run_.reset();
  while (!parts_.empty() && parts_.back() < cursor_) parts_.pop_back();
  if (park_to_ && cursor_ >= *park_to_) park_to_.reset();
  oldest_stored_.reset();
  if (!next_.empty()) oldest_stored_ = next_.stored;
  sooner(save_due_, now + kSaveAfter);
}

// ---- To be tried again -------------------------------------------------------------------------

void StreamMachine::retry(const connectors::RetryLater& outcome, SteadyTime now) {
  count_failure(now);
  const Milliseconds wait = retry_wait(settings_.delivery,
                                       {.failures_in_a_row = failures_,
                                        .answered_took = answered_took_,
                                        .retry_after = outcome.after},
                                       options_.chance());
  not_before_ = now + wait;
  if (!in_error()) set_last_error(outcome.reason);
  if (settings_.delivery.max_age) {
    // One attempt more, just before it is too late.
    note_age(now);
    const auto last_chance = ages_out_at_.value_or(now) - last_chance_before_end();
    if (last_chance > now) not_before_ = std::min(not_before_, last_chance);
  }
  // A streamed batch may have failed because it is no longer what was counted.
  if (head_->streamed || not_before_ - now >= kHoldWhileWaiting) {
    release_memory();
  } else {
    forget_gathered();
  }
}

void StreamMachine::count_failure(SteadyTime now) {
  ++failures_;
  paced_ = false;
  failure_clock_.start(now);
  if (status_ != StreamStatus::Running) failure_clock_.hold(now);
}

void StreamMachine::misconfigured(const std::string& reason, SteadyTime now) {
  count_one(counts_.misconfigured);
  sooner(save_due_, now + kSaveAfter);
  if (counts_.misconfigured < settings_.delivery.misconfigured_in_a_row) {
    return retry({reason, {}, 0}, now);
  }
  fail(wrong_for_good(reason), now);
}

// ---- Refused -----------------------------------------------------------------------------------

void StreamMachine::rejected(const connectors::Rejected& outcome, int status, SteadyTime now) {
  if (outcome.record) {
    split_head(1);
    return refused_alone(outcome, status, now);
  }
  const std::uint32_t records = head_->records.records;
  if (records == 1) return refused_alone(outcome, status, now);
  if (status == kTooLarge) {
    counts_.cut_records = records / 2;
    counts_.cut_delivered = 0;
  }
  not_before_ = now;
  split_head((records + 1) / 2);
}

// Nobody refused them: they neither count as refused nor end a row of refusals.
void StreamMachine::set_aside(const connectors::SetAside& outcome) {
  SLUICE_ASSERT(outcome.count > 0 && outcome.count <= head_->records.records);
  split_head(outcome.count);
  park_head(outcome.reason, std::nullopt);
}

// Its first records are a batch of their own, the others the next.
void StreamMachine::split_head(std::uint32_t records) {
  if (records == head_->records.records) return;
  const Offset last = head_->records.last;
  if (parts_.empty() || parts_.back() != last) parts_.push_back(last);
  if (head_->streamed) return cut_again(records);
  narrow(*head_, 0, records);
  head_->must_freeze = true;
  forget_gathered();
}

// Where the first records of a batch end that is not held, its gathering tells.
void StreamMachine::cut_again(std::uint32_t records) {
  head_.reset();
  cut_next_ = records;
  forget_gathered();
}

void StreamMachine::refused_alone(const connectors::Rejected& outcome, int status, SteadyTime now) {
  if (settings_.delivery.halt_on_rejected) {
    return fail(refused_for_good(head_->records.first, outcome), now);
  }
  refused_ = true;
  park_head(outcome.reason, status);
}

// ---- Parked ------------------------------------------------------------------------------------

Result<Actions> StreamMachine::skip(Offset to, bool park, SteadyTime now) {
  if (status_ != StreamStatus::Paused && status_ != StreamStatus::Error) {
    return Error{ErrorCode::Conflict, unusable() ? "the stream's settings cannot be used: change "
                                                   "them first"
                                                 : "the stream is neither paused nor in Error"};
  }
  to = std::min(to, end_);
  if (to <= cursor_) return finish(now);
  sooner(save_due_, now);
  if (!park) {
    start_ = std::max(start_, to);
    drop_to_ = start_;
    return finish(now);
  }
  park_to_ = std::max(park_to_.value_or(to), to);
  if (!head_busy()) begin_parking();
  return finish(now);
}

// From the cursor on, whatever was cut for sending.
void StreamMachine::begin_parking() {
  drop_head();
  reload_.reset();
  forget_gathered();
}

void StreamMachine::park_head(std::string reason, std::optional<int> status) {
  phase_ = Phase::Parking;
  JournalEntry behind = entry();
  behind.cursor = next(head_->records.last);
  behind.previous = head_->records.last;
  behind.parked += head_->records.records;
  behind.aged_out += head_->inside.aged_out;
  behind.damaged += head_->inside.damaged;
  if (refused_) count_one(behind.rejected_in_a_row);
  SettledAhead ahead = ahead_;
  const SettledAhead::Counts passed = ahead.pass(behind.cursor).counts;
  behind.delivered += passed.delivered;
  behind.parked += passed.parked;
  behind.aged_out += passed.aged_out;
  behind.skipped += passed.skipped;
  actions_.park =
      Actions::Park{&head_->records, behind, std::move(ahead), std::move(reason), status};
}

Actions StreamMachine::parked(const Result<void>& result, SteadyTime now) {
  if (std::exchange(keeping_ahead_, false)) return finish(now);
  SLUICE_ASSERT(head_);
  if (run_) {
    Lane* const lane = run_->in(Lane::Phase::Parking);
    SLUICE_ASSERT(lane != nullptr);
    parked(*lane, result, now);
    return finish(now);
  }
  SLUICE_ASSERT(phase_ == Phase::Parking);
  phase_ = Phase::Ready;
  const bool refused = std::exchange(refused_, false);
  if (!result && drop_to_) return finish(now);  // Disabled meanwhile: they are dropped
  if (!result && result.error().code == ErrorCode::Conflict) {
    park_to_.reset();
    fail(result.error().message, now);
    return finish(now);
  }
  if (!result) {
    own_fault("dead letters cannot be stored: " + result.error().message, now);
    return finish(now);
  }
  own_fault_over(now);
  parked_ += head_->records.records;
  pass_head(now);
  not_before_ = now;
  if (refused) count_refused(now);
  return finish(now);
}

void StreamMachine::count_refused(SteadyTime now) {
  count_one(counts_.rejected);
  const std::uint32_t limit = settings_.delivery.rejected_in_a_row;
  if (limit == 0 || counts_.rejected < limit || drop_to_) return;
  fail(fmt::format("the destination refused {} records in a row, each by itself; they are kept "
                   "as dead letters: make it accept such records, restart the stream and "
                   "redrive them",
                   counts_.rejected),
       now);
}

// ---- Too old -----------------------------------------------------------------------------------

void StreamMachine::note_age(SteadyTime now) {
  ages_out_at_.reset();
  if (!head_ || !head_->newest) return;
  ages_out_at_ = age_limit(*head_->newest, now);
}

// When a batch with that newest record ages out; nullopt: never.
std::optional<SteadyTime> StreamMachine::age_limit(WallTime newest, SteadyTime now) const {
  if (!settings_.delivery.max_age) return std::nullopt;
  const std::int64_t from_ms = std::max(newest.ms, options_.created.ms);
  const std::int64_t age_ms = options_.wall().ms - from_ms;
  return now + *settings_.delivery.max_age - milliseconds(age_ms);
}

// How long before that the last attempt comes: where there is time, as long as it may take.
Milliseconds StreamMachine::last_chance_before_end() const {
  const Milliseconds timeout = settings_.delivery.timeout;
  if (!settings_.delivery.max_age) return timeout;
  return std::min(timeout, Milliseconds(*settings_.delivery.max_age) / 2);
}

// True: the head was given up.
bool StreamMachine::age_out(SteadyTime now) {
  note_age(now);
  if (!ages_out_at_ || now < *ages_out_at_) return false;
  losses_.aged_out += head_->records.records;
  pass_head(now);
  return true;
}

}  // namespace sluice::dispatch
