// A simulated stream's dead letters, and a redrive of them.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "dispatch/replay_policy.h"
#include "simulator/stream.h"

namespace sluice::simulator {
namespace {

constexpr std::uint32_t kAll = 1'000'000;

}  // namespace

// ---- Parking -----------------------------------------------------------------------------------

std::vector<Offset> Stream::parking_offsets() {
  std::vector<Offset> offsets;
  if (parking_->records == nullptr) return offsets;  // only the state is kept
  for (const connectors::RecordRun& run : parking_->records->runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i) offsets.push_back(check_record(run, i));
  }
  return offsets;
}

Result<void> Stream::store_letters() {
  const std::vector<Offset> offsets = parking_offsets();
  for (const Offset offset : offsets) {
    require(!heard_.contains(offset), "it parks what is settled");
    require(hopeless_.contains(offset) || offset < park_to_, "nobody had it park that");
    perhaps_parked_.insert(offset);
  }
  auto stored = dispatch::store(*parking_, id_, *world_.letters, world_.clock.now());
  if (!stored) return stored;
  for (const Offset offset : offsets) note_parked(offset);
  require(!parked_state_ || parked_state_->cursor <= parking_->behind.cursor,
          "the dead letters' state goes back");
  parked_state_ = parking_->behind;
  confirmed_ = std::max(confirmed_, parked_state_->cursor);
  return stored;
}

void Stream::note_parked(Offset offset) {
  parked_.insert(offset);
  missing_.erase(offset);
  aged_out_.erase(offset);
  perhaps_parked_.erase(offset);
  world_.redriven[id_].erase(offset);
}

void Stream::hear_of_parking(bool honest) {
  if (!parking_) return;
  Result<void> result;
  Offset floor = machine_->cursor();
  if (!honest && !is_replay() && world_.one_in(12)) {
    result = Error{ErrorCode::Conflict, "injected: too many"};
  } else {
    result = store_letters();
    if (result && parking_->records != nullptr) {
      settle(*parking_->records, parking_->records->records);
      floor = std::max(floor, parking_->behind.cursor);
    }
  }
  parking_.reset();
  take(machine_->parked(result, now()), floor);
}

// As the next process finds them: what was stored is there, and what may have been.
void Stream::find_letters() {
  const auto found = world_.parked_states.find(journal_key());
  const bool found_state = found != world_.parked_states.end();
  require(!parked_state_ || (found_state && found->second.entry.cursor >= parked_state_->cursor),
          "where it stood beside its dead letters is forgotten");
  const std::set<Offset> perhaps_parked = std::exchange(perhaps_parked_, {});
  if (!found_state) return;
  const auto page = world_.letters->list(id_, Offset{0}, kAll);
  require(page.has_value(), page ? "" : "its dead letters cannot be read: " + page.error().message);
  for (const catalog::DeadLetter& letter : page->letters) {
    const Offset offset = letter.offset;
    const auto& [entry, ahead] = found->second;
    if (perhaps_parked.contains(offset) && (offset < entry.cursor || ahead.contains(offset))) {
      note_parked(offset);
    }
  }
  parked_state_ = found->second.entry;
  check_letters();
}

void Stream::check_letters() const {
  if (parked_.empty()) return;
  const auto page = world_.letters->list(id_, Offset{0}, kAll);
  require(page.has_value(), page ? "" : "its dead letters cannot be read: " + page.error().message);
  std::set<Offset> found;
  for (const catalog::DeadLetter& letter : page->letters) {
    found.insert(letter.offset);
    const auto known = ledger().by_offset.find(letter.offset);
    require(
        known != ledger().by_offset.end() && ledger().records[known->second].bytes == letter.record,
        "a dead letter is not the record");
  }
  for (const Offset offset : parked_) {
    require(found.contains(offset) || world_.redriven[id_].contains(offset),
            fmt::format("the dead letter {} is lost", offset.value()));
  }
}

// ---- Redrive -----------------------------------------------------------------------------------

void Stream::judge(const connectors::RecordBatch& batch, const connectors::SendOutcome& outcome,
                   Offset floor) {
  if (!is_replay()) return take(machine_->sent(batch, outcome, now()), floor);
  take(dispatch::judge_replay(*machine_, batch, outcome, now(),
                              redrive_ ? &redrive_->settled : nullptr),
       floor);
}

void Stream::remove_redriven() {
  if (!redrive_ || redrive_->settled.empty()) return;
  if (world_.letters->remove(id_, note_settled())) redrive_->settled.clear();
}

std::vector<Offset> Stream::note_settled() {
  for (const Offset offset : redrive_->settled) {
    require(delivered_.contains(offset) || ignored_.contains(offset),
            "a dead letter is thrown away");
    world_.redriven[id_].insert(offset);  // should the disk fail: perhaps
  }
  return redrive_->settled;
}

void Stream::check_redriven() const {
  const bool done = replay_->state == catalog::ReplayState::Done;
  require(!done || missing_.empty(), "a redrive forgets dead letters");
  const auto page = world_.letters->list(id_, Offset{0}, kAll);
  require(page.has_value(), page ? "" : "its dead letters cannot be read: " + page.error().message);
  for (const catalog::DeadLetter& letter : page->letters) {
    // A crash may forget that it arrived.
    const bool sure = done && redrive_->life == world_.life && delivered_.contains(letter.offset);
    require(!sure || parked_.contains(letter.offset), "what arrived is still a dead letter");
  }
}

}  // namespace sluice::simulator
