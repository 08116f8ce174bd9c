// StreamMachine: a run's way out (delivery.parallel above 1), each device's requests in a lane.

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/assert.h"
#include "dispatch/stream_machine.h"
#include "dispatch/stream_parts.h"

namespace sluice::dispatch {

using catalog::StreamStatus;

// ---- Which requests go out ---------------------------------------------------------------------

// True: the run is out of the way.
bool StreamMachine::push_run(SteadyTime now) {
  if (change_ || drop_to_) return false;  // first its requests end
  if (!run_) {
    if (head_->must_freeze && !head_->frozen) {
      freeze_head();
      return false;
    }
    if (!head_->loaded) {
      begin_loading();
      return false;
    }
    SLUICE_ASSERT(!head_->streamed);
    connectors::BatchLimits limits = settings_.limits;
    if (counts_.cut_records != 0) {
      limits.records_max = std::min(limits.records_max, counts_.cut_records);
    }
    run_ = make_run(*head_, ahead_, limits);
    for (Lane& lane : run_->lanes) lane.misconfigured = counts_.misconfigured;
  }
  for (bool again = true; again;) {
    again = false;
    std::erase_if(run_->active, [&](std::uint32_t i) { return run_->lanes[i].settled(); });
    while (run_->active.size() < settings_.delivery.parallel &&
           run_->next_lane < run_->lanes.size()) {
      run_->active.push_back(run_->next_lane++);
    }
    if (run_->active.empty()) {
      pass_run(now);
      return true;
    }
    for (std::size_t i = 0; i < turns() && !reload_; ++i) {
      again = push_lane(run_->lanes[run_->active[i]], now) || again;
    }
  }
  if (!reload_ && !run_->busy() && *next_start() - now >= kHoldWhileWaiting) release_memory();
  return false;
}

// True: its request was given up.
bool StreamMachine::push_lane(Lane& lane, SteadyTime now) {
  if (lane.phase != Lane::Phase::Ready || lane.settled()) return false;
  if (age_out(lane, now)) return true;
  if (now < starts(lane)) return false;
  if (!has_turn() && take_turn(now) > now) return false;
  head_->loaded ? attempt(lane, now) : begin_loading();
  return false;
}

void StreamMachine::attempt(Lane& lane, SteadyTime now) {
  Batch& request = lane.request;
  if (request.records.runs.empty()) {
    const std::uint32_t attempts = request.attempts;
    request = pick(*head_, std::span(lane.records).subspan(lane.at, lane.request_records()));
    request.attempts = attempts;
  }
  connectors::RecordBatch& records = request.records;
  describe(records);
  records.beside_others = true;
  if (request.attempts == 0) last_begin_ = now;
  records.attempt = ++request.attempts;
  lane.phase = Lane::Phase::Sending;
  lane.sent_at = now;
  actions_.send.push_back(&records);
}

SteadyTime StreamMachine::starts(const Lane& lane) const {
  const SteadyTime at = std::max(lane.not_before, run_->hold_until);
  return lane.request.attempts == 0 ? std::max(at, interval_over()) : at;
}

// Active lanes that may send: fewer where `parallel` became less meanwhile.
std::size_t StreamMachine::turns() const {
  return std::min<std::size_t>(run_->active.size(), settings_.delivery.parallel);
}

// Of the lanes that wait for it; nullopt: all are under way.
std::optional<SteadyTime> StreamMachine::next_start() const {
  std::optional<SteadyTime> at;
  for (std::size_t i = 0; i < turns(); ++i) {
    const Lane& lane = run_->lanes[run_->active[i]];
    if (lane.phase == Lane::Phase::Ready) sooner(at, starts(lane));
  }
  return at;
}

void StreamMachine::wake_run(std::optional<SteadyTime>& at) const {
  if (reload_ || change_ || drop_to_) return;
  sooner(at, next_start());
  for (std::size_t i = 0; i < turns(); ++i) {
    const Lane& lane = run_->lanes[run_->active[i]];
    if (lane.phase == Lane::Phase::Ready) sooner(at, lane.ages_out_at);
  }
}

void StreamMachine::lanes_go_now(SteadyTime now, bool forget_failures) {
  if (!run_) return;
  run_->hold_until = now;
  for (Lane& lane : run_->lanes) {
    lane.not_before = now;
    lane.misconfigured = 0;
    if (!forget_failures) continue;
    lane.failures = 0;
    lane.answered_took.reset();
  }
}

// ---- What becomes of them ----------------------------------------------------------------------

void StreamMachine::sent(Lane& lane, const connectors::SendOutcome& outcome, SteadyTime now) {
  SLUICE_ASSERT(lane.phase == Lane::Phase::Sending);
  lane.phase = Lane::Phase::Ready;
  using namespace connectors;
  const bool all = std::holds_alternative<Delivered>(outcome.decision);
  if (abandoned_ && !all) return;
  if (all_skipped(lane.request.records, outcome)) {
    return settle(lane, lane.request_records(), Settled::Skipped);
  }
  note_doubt(lane.request.records, outcome);
  if (const std::uint32_t part = all ? lane.request_records() : arrived(outcome.decision)) {
    confirm(lane, part, outcome.skipped, now);
  }
  if (drop_to_ && !all) return;
  remote_status_ = outcome.remote_status;
  if (outcome.answered) {
    lane.answered_took = std::chrono::duration_cast<Milliseconds>(now - lane.sent_at);
  }
  const auto* wrong = std::get_if<Misconfigured>(&outcome.decision);
  if (wrong == nullptr) forget_misconfigured();
  if (all || parking()) return;  // it is parked with all that is not settled
  if (const auto* later = std::get_if<RetryLater>(&outcome.decision)) {
    retry(lane, *later, now);
  } else if (const auto* refused = std::get_if<Rejected>(&outcome.decision)) {
    rejected(lane, *refused, outcome.remote_status, now);
  } else if (const auto* aside = std::get_if<SetAside>(&outcome.decision)) {
    to_park(lane, aside->count, aside->reason, std::nullopt, now);
  } else if (wrong != nullptr) {
    misconfigured(lane, wrong->reason, now);
  } else if (!in_error()) {
    fail(gone_for_good(std::get<Gone>(outcome.decision)), now);
  }
  if (status_ == StreamStatus::Running) {
    outcome.fault == Fault::Us ? failure_clock_.hold(now) : failure_clock_.go_on(now);
  }
}

void StreamMachine::settle(Lane& lane, std::uint32_t records, Settled how) {
  SLUICE_ASSERT(records <= lane.request_records());
  for (std::uint32_t i = lane.at; i < lane.at + records; ++i) {
    ahead_.add(run_->records[lane.records[i]].offset, how);
  }
  lane.pass(records);
}

// The request's first records. Which of them were skipped nobody asks: only how many.
void StreamMachine::confirm(Lane& lane, std::uint32_t records, std::uint32_t skipped,
                            SteadyTime now) {
  SLUICE_ASSERT(skipped <= records);
  settle(lane, skipped, Settled::Skipped);
  if (skipped == records) return;
  run_->any_delivered = true;
  ++run_->requests_delivered;
  run_->largest_delivered = std::max(run_->largest_delivered, records);
  lane.failures = 0;
  lane.not_before = now;
  settle(lane, records - skipped, Settled::Delivered);
  succeeded(now);
}

void StreamMachine::pass_run(SteadyTime now) {
  if (run_->too_large != 0) {
    counts_.cut_records = run_->too_large / 2;
    counts_.cut_delivered = 0;
  } else {
    note_cut(run_->largest_delivered, run_->requests_delivered);
  }
  if (run_->any_delivered) {
    if (run_->first_stored.usage_s != 0) delivered_stored_.usage_s = run_->first_stored.usage_s;
    if (run_->first_stored.event_s != 0) delivered_stored_.event_s = run_->first_stored.event_s;
  }
  pass_head(now);
}

// Its device alone waits; what the destination asks for holds for all.
void StreamMachine::retry(Lane& lane, const connectors::RetryLater& outcome, SteadyTime now) {
  count_failure(now);
  ++lane.failures;
  ++head_->attempts;  // that failed: only then may it be an Error that none succeeds
  lane.not_before = now + retry_wait(settings_.delivery,
                                     {.failures_in_a_row = lane.failures,
                                      .answered_took = lane.answered_took,
                                      .retry_after = outcome.after},
                                     options_.chance());
  if (outcome.after) {
    run_->hold_until = std::max(run_->hold_until, now + std::min(*outcome.after, kWaitMax));
  }
  if (!in_error()) set_last_error(outcome.reason);
  note_age(lane, now);
  const auto last_chance = lane.ages_out_at.value_or(now) - last_chance_before_end();
  if (last_chance > now) lane.not_before = std::min(lane.not_before, last_chance);
  forget_gathered();
}

// Counted by device, else a few attempts at a time would be taken for a row of them.
void StreamMachine::misconfigured(Lane& lane, const std::string& reason, SteadyTime now) {
  count_one(lane.misconfigured);
  counts_.misconfigured = std::max(counts_.misconfigured, lane.misconfigured);
  sooner(save_due_, now + kSaveAfter);
  if (counts_.misconfigured < settings_.delivery.misconfigured_in_a_row) {
    return retry(lane, {reason, {}, 0}, now);
  }
  if (!in_error()) fail(wrong_for_good(reason), now);
}

void StreamMachine::forget_misconfigured() {
  if (std::exchange(counts_.misconfigured, std::uint16_t{0}) == 0) return;
  for (Lane& lane : run_->lanes) lane.misconfigured = 0;
}

void StreamMachine::rejected(Lane& lane, const connectors::Rejected& outcome, int status,
                             SteadyTime now) {
  const std::uint32_t records = lane.request_records();
  lane.not_before = now;
  if (!outcome.record && records > 1) {
    if (status == kTooLarge) {
      run_->too_large = run_->too_large == 0 ? records : std::min(run_->too_large, records);
    }
    return lane.split((records + 1) / 2);
  }
  const Offset record = run_->records[lane.records[lane.at]].offset;
  if (settings_.delivery.halt_on_rejected) {
    lane.split(1);
    if (!in_error()) fail(refused_for_good(record, outcome), now);
    return;
  }
  to_park(lane, 1, outcome.reason, status, now);
}

void StreamMachine::to_park(Lane& lane, std::uint32_t records, const std::string& reason,
                            std::optional<int> refused_with, SteadyTime now) {
  lane.split(records);
  lane.not_before = now;
  lane.phase = Lane::Phase::ToPark;
  lane.refusal = reason;
  lane.status = refused_with;
}

// One after the other: each takes with it what is settled by then.
void StreamMachine::park_lane() {
  Lane* const lane = run_->in(Lane::Phase::ToPark);
  if (lane == nullptr || run_->in(Lane::Phase::Parking) != nullptr) return;
  lane->phase = Lane::Phase::Parking;
  if (lane->request.records.runs.empty()) {
    lane->request =
        pick(*head_, std::span(lane->records).subspan(lane->at, lane->request_records()));
  }
  JournalEntry state = head_->frozen ? boundary_entry() : entry();
  if (lane->status) count_one(state.rejected_in_a_row);
  SettledAhead ahead = ahead_;
  for (std::uint32_t i = lane->at; i < lane->ends.back(); ++i) {
    ahead.add(run_->records[lane->records[i]].offset, Settled::Parked);
  }
  actions_.park =
      Actions::Park{&lane->request.records, state, std::move(ahead), lane->refusal, lane->status};
}

void StreamMachine::parked(Lane& lane, const Result<void>& result, SteadyTime now) {
  lane.phase = Lane::Phase::Ready;
  if (!result && drop_to_) return;  // Disabled meanwhile: it is dropped
  if (!result && result.error().code == ErrorCode::Conflict) {
    if (!in_error()) fail(result.error().message, now);
    return;
  }
  if (!result) {
    return own_fault("dead letters cannot be stored: " + result.error().message, now);
  }
  own_fault_over(now);
  settle(lane, lane.request_records(), Settled::Parked);
  sooner(save_due_, now + kSaveAfter);
  if (lane.status) count_refused(now);
}

// ---- Too old -----------------------------------------------------------------------------------

void StreamMachine::note_age(Lane& lane, SteadyTime now) {
  lane.ages_out_at = age_limit(run_->records[lane.last_record()].stored, now);
}

bool StreamMachine::age_out(Lane& lane, SteadyTime now) {
  note_age(lane, now);
  if (!lane.ages_out_at || now < *lane.ages_out_at) return false;
  settle(lane, lane.request_records(), Settled::AgedOut);
  lane.failures = 0;
  lane.not_before = now;
  return true;
}

// ---- What is settled ahead of the cursor -------------------------------------------------------

// Of a batch that is to be parked by command. False: nothing is left of it.
bool StreamMachine::leave_settled_out() {
  if (ahead_.empty()) return true;
  std::vector<std::uint32_t> left;
  for (std::uint32_t i = 0; i < head_->records.records; ++i) {
    if (!ahead_.contains(offset_of(head_->records, i))) left.push_back(i);
  }
  if (left.size() == head_->records.records || left.empty()) return !left.empty();
  Batch rest = pick(*head_, left);
  rest.inside = head_->inside;
  rest.full = true;
  head_ = std::move(rest);
  return true;
}

// What a run left behind: a batch has no holes, so that its first and last record name its bytes.
void StreamMachine::stop_before_settled() {
  const auto settled = [this](std::uint32_t i) {
    return ahead_.contains(offset_of(head_->records, i));
  };
  const std::uint32_t records = head_->records.records;
  std::uint32_t begin = 0;
  while (begin < records && settled(begin)) ++begin;
  std::uint32_t end = begin;
  while (end < records && !settled(end)) ++end;
  if (end - begin == records) return;
  if (begin == end) {
    move_cursor(next(head_->records.last));
    losses_.add(head_->inside);
    head_.reset();
  } else {
    narrow(*head_, begin, end);
    head_->must_freeze = true;
    move_cursor(head_->records.first);
  }
  forget_gathered();
}

// On the way out: the next process is not to send it again.
void StreamMachine::keep_ahead() {
  if (ahead_.empty() || std::exchange(ahead_kept_, true)) return;
  keeping_ahead_ = true;
  const JournalEntry state = head_ && head_->frozen ? boundary_entry() : entry();
  actions_.park = Actions::Park{nullptr, state, ahead_, "", std::nullopt};
}

}  // namespace sluice::dispatch
