// StreamMachine: what the stream journal is told.

#include <utility>

#include "base/assert.h"
#include "dispatch/stream_machine.h"
#include "dispatch/stream_parts.h"

namespace sluice::dispatch {
namespace {

constexpr Milliseconds kSaveSkippedAfter{5000};  // nothing was delivered, only passed over
constexpr std::uint32_t kUnsavedBatchesMax = 64;

}  // namespace

void StreamMachine::freeze_head() {
  move_cursor(head_->records.first);
  actions_.freeze = boundary_entry();
  phase_ = Phase::Freezing;
  freezing_ = {cursor_, counts_};
}

Actions StreamMachine::frozen(const Result<void>& result, SteadyTime now) {
  SLUICE_ASSERT(head_ && phase_ == Phase::Freezing);
  phase_ = Phase::Ready;
  if (result) {
    own_fault_over(now);
    head_->frozen = true;
    freeze_next_ = false;
    saved_ = freezing_;
    save_due_.reset();
    unsaved_batches_ = 0;
  } else {
    own_fault("the stream journal cannot be written: " + result.error().message, now);
  }
  if (parking()) begin_parking();  // what was cut for sending may have more than is to be parked
  return finish(now);
}

bool StreamMachine::may_save() const {
  const bool freezing = head_ && phase_ == Phase::Freezing;
  return !freezing && !saving_ && saved_ != Saved{cursor_, counts_};
}

void StreamMachine::save_cursor(SteadyTime now) {
  if (!may_save()) return;
  if (!save_due_) save_due_ = now + kSaveSkippedAfter;
  if (now < *save_due_ && unsaved_batches_ < kUnsavedBatchesMax && !ending()) return;
  // A cursor entry would take back the boundary of a batch that is frozen.
  actions_.save = head_ && head_->frozen ? boundary_entry() : entry();
  saving_ = actions_.save->kind;
  saved_ = Saved{cursor_, counts_};
  save_due_.reset();
  unsaved_batches_ = 0;
}

Actions StreamMachine::saved(const Result<void>& result, SteadyTime now) {
  SLUICE_ASSERT(saving_);
  const JournalEntry::Kind kind = *std::exchange(saving_, std::nullopt);
  // A boundary that was frozen since says more than a cursor that was not saved. And on the way out
  // once is enough: the batches since go again on start.
  const bool outdated = kind == JournalEntry::Kind::Cursor && head_ && head_->frozen;
  if (!result && !ending() && !outdated) {
    saved_.reset();
    save_due_ = now + kOwnFaultWait;
  }
  return finish(now);
}

JournalEntry StreamMachine::entry() const {
  JournalEntry entry;
  entry.stream = options_.replay ? catalog::replay_key(options_.replay->id) : options_.stream;
  entry.cursor = cursor_;
  entry.revision = revision_;
  entry.previous = previous_;
  entry.usage_stored_s = delivered_stored_.usage_s;
  entry.event_stored_s = delivered_stored_.event_s;
  entry.delivered = delivered_;
  entry.skipped = skipped_;
  entry.aged_out = losses_.aged_out;
  entry.damaged = losses_.damaged;
  entry.dropped = dropped_;
  entry.parked = parked_;
  entry.rejected_in_a_row = counts_.rejected;
  entry.misconfigured_in_a_row = counts_.misconfigured;
  entry.cut_records = counts_.cut_records;
  entry.cut_delivered = counts_.cut_delivered;
  entry.filter_revision = settings_.filter_revision;
  entry.render_revision = settings_.render_revision;
  return entry;
}

JournalEntry StreamMachine::boundary_entry() const {
  JournalEntry entry = this->entry();
  entry.kind = JournalEntry::Kind::Boundary;
  entry.last = head_->records.last;
  entry.records = head_->records.records;
  return entry;
}

}  // namespace sluice::dispatch
