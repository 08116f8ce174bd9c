#include "simulator/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace sluice::simulator {
namespace {

constexpr int kSteps = 600;
constexpr int kStepsToSettle = 100'000;
constexpr int kStepsToStop = 1000;
constexpr std::size_t kStreamsMax = 4;
constexpr std::size_t kReplacedMax = 2;

}  // namespace

Simulation::Simulation(std::uint64_t seed, Metrics& metrics) : world_(seed, metrics) {
  pace_ = 1 + world_.below(6);
  fault_pace_ = 1 + world_.below(10);
}

void Simulation::run() {
  begin_life();
  for (std::uint64_t i = 1 + world_.below(3); i > 0; --i) create();
  for (int i = 0; i < kSteps; ++i) {
    step();
    if (world_.crashed()) end_life();
  }
  settle_down();
  // What the journal says is where the next process goes on.
  end_life();
  settle_down();
}

void Simulation::begin_life() {
  world_.begin_life();
  meet();
  meet_replays();
  for (const auto& stream : replaced_) stream->check_closed();
  for (const auto& stream : streams_) stream->begin();
}

void Simulation::end_life() {
  for (const auto& stream : streams_) stream->end();
  world_.end_life();
  world_.clock.advance(std::chrono::milliseconds(world_.below(5000)));
  begin_life();
}

// SIGTERM.
void Simulation::stop() {
  const bool is_sound = world_.one_in(2);  // and the disk does not fail meanwhile
  if (is_sound) world_.heal();
  // What failed before is known by then: on the way out nothing is tried twice.
  for (const auto& stream : streams_) {
    while (is_sound && stream->wind_up()) {
    }
  }
  for (const auto& stream : streams_) stream->stop();
  for (std::uint64_t i = world_.below(40 * streams_.size() + 1); i > 0 && !world_.crashed(); --i) {
    Stream& stream = *streams_[world_.below(streams_.size())];
    world_.one_in(3) ? stream.answer(false) : (void)stream.wind_up();
  }
  for (const auto& stream : streams_) stream->abandon();
  // A disk that fails may have it go on for ever; the server does not wait that long either.
  bool busy = true;
  for (int i = 0; i < kStepsToStop && busy && !world_.crashed(); ++i) {
    busy = false;
    for (const auto& stream : streams_) busy = stream->wind_up() || busy;
  }
  if (world_.crashed()) return end_life();
  for (const auto& stream : streams_) is_sound ? stream->end_stopped() : stream->end();
  world_.stop();
  begin_life();
}

// ---- Who there is ------------------------------------------------------------------------------

Stream* Simulation::find(StreamId id) const {
  for (const auto* streams : {&streams_, &replaced_}) {
    for (const auto& stream : *streams) {
      if (stream->id() == id && !stream->is_replay()) return stream.get();
    }
  }
  return nullptr;
}

bool Simulation::has_replay(StreamId id) const {
  return std::any_of(streams_.begin(), streams_.end(),
                     [&](const auto& each) { return each->id() == id && each->is_replay(); });
}

void Simulation::meet() {
  for (const catalog::Stream& row : world_.under_way.streams) {
    Stream* known = find(row.id);
    const auto doubtful = std::find_if(doubtful_.begin(), doubtful_.end(),
                                       [&](const auto& each) { return each->name() == row.name; });
    if (known == nullptr && doubtful != doubtful_.end()) {
      known = doubtful->get();
      streams_.push_back(std::move(*doubtful));
      doubtful_.erase(doubtful);
    }
    if (known == nullptr || deleted_.contains(row.id)) {
      throw Violation(
          fmt::format("stream {} is one that nobody created, or was deleted", row.id.value()));
    }
    known->meet(row);
  }
  doubtful_.clear();
  check_hand_overs();
  std::vector<StreamId> gone;
  for (const auto* streams : {&streams_, &replaced_}) {
    for (const auto& stream : *streams) {
      const auto& rows = world_.under_way.streams;
      const bool found = std::any_of(rows.begin(), rows.end(), [&](const catalog::Stream& row) {
        return row.id == stream->id();
      });
      if (found || stream->is_replay()) continue;
      if (!stream->perhaps_deleted()) {
        throw Violation(fmt::format("stream {} is gone", stream->id().value()));
      }
      gone.push_back(stream->id());
    }
  }
  for (const StreamId id : gone) forget(id);
  for (std::size_t i = 0; i < streams_.size();) {
    if (streams_[i]->is_replay() || !streams_[i]->replaced_by()) {
      ++i;
      continue;
    }
    replaced_.push_back(std::move(streams_[i]));
    streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (const auto& [key, state] : world_.parked_states) {
    if (deleted_.contains(key)) {
      throw Violation(fmt::format("deleted stream {} has left dead letters", key.value()));
    }
  }
}

// One is closed and the other goes on, or neither.
void Simulation::check_hand_overs() const {
  std::map<StreamId, const catalog::Stream*> rows;
  for (const catalog::Stream& row : world_.under_way.streams) rows.emplace(row.id, &row);
  for (const auto& [id, row] : rows) {
    if (row->replaced_by && !deleted_.contains(*row->replaced_by)) {
      const auto successor = rows.find(*row->replaced_by);
      const bool known = successor != rows.end() && successor->second->hand_over &&
                         successor->second->hand_over->from == id;
      const Stream* const lost = known ? nullptr : find(*row->replaced_by);
      if (!known && (lost == nullptr || !lost->perhaps_deleted())) {
        throw Violation(fmt::format("stream {} was closed for none", id.value()));
      }
    }
    if (!row->hand_over) continue;
    const auto former = rows.find(row->hand_over->from);
    if (former != rows.end() && former->second->replaced_by != id) {
      throw Violation(fmt::format("stream {} goes on beside its successor", former->first.value()));
    }
  }
}

void Simulation::meet_replays() {
  auto rows = world_.under_way.replays;
  for (std::size_t i = 0; i < streams_.size();) {
    Stream& stream = *streams_[i];
    if (!stream.is_replay()) {
      ++i;
      continue;
    }
    const auto row = rows.find(stream.id());
    if (row != rows.end() && row->second.id == stream.replay_id()) {
      stream.meet(row->second);
      rows.erase(row);
      ++i;
      continue;
    }
    if (!stream.perhaps_ended()) {
      throw Violation(fmt::format("replay {} is forgotten", stream.replay_id().value()));
    }
    ended_.insert(stream.replay_id());
    streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (const auto& [id, row] : rows) {
    Stream* const parent = find(id);
    if (parent == nullptr || !parent->perhaps_replayed() || ended_.contains(row.id)) {
      throw Violation(
          fmt::format("replay {} is one that nobody began, or has ended", row.id.value()));
    }
    streams_.push_back(std::make_unique<Stream>(*parent, row));
  }
}

void Simulation::create() {
  const auto open = std::count_if(streams_.begin(), streams_.end(),
                                  [](const auto& each) { return !each->is_replay(); });
  if (open >= static_cast<std::ptrdiff_t>(kStreamsMax)) return;
  auto stream = std::make_unique<Stream>(world_, world_.below(world_.ledgers.size()),
                                         fmt::format("stream {}", ++created_));
  (stream->create() ? streams_ : doubtful_).push_back(std::move(stream));
}

void Simulation::erase(Stream& stream) {
  if (!stream.erase()) return;
  for (const auto& each : streams_) {
    if (each->id() == stream.id() && each->is_replay()) each->forget_in_journal();
  }
  forget(stream.id());
}

void Simulation::forget(StreamId id) {
  const auto is_it = [&](const auto& each) { return each->id() == id; };
  std::erase_if(streams_, is_it);
  std::erase_if(replaced_, is_it);
  deleted_.insert(id);
}

void Simulation::send_again(Stream& stream, Again* again) {
  if (stream.is_replay() || has_replay(stream.id())) return;
  if (auto replay = again(stream)) streams_.push_back(std::move(replay));
}

void Simulation::hand_over(std::unique_ptr<Stream>& stream) {
  auto next = stream->successor(fmt::format("stream {}", created_ + 1));
  if (!next) return;
  ++created_;
  if (world_.one_in(3)) return stream->reopen();  // it does not come about
  if (!next->create()) {
    doubtful_.push_back(std::move(next));
    return stream->reopen();
  }
  stream->replaced(next->id());
  replaced_.push_back(std::exchange(stream, std::move(next)));
  if (replaced_.size() > kReplacedMax) erase(*replaced_.front());
}

void Simulation::conclude() {
  std::erase_if(streams_, [this](const auto& stream) {
    if (!stream->conclude()) return false;
    ended_.insert(stream->replay_id());
    return true;
  });
}

// ---- What happens ------------------------------------------------------------------------------

void Simulation::store() {
  Ledger& ledger = world_.ledgers[world_.below(world_.ledgers.size())];
  for (const std::size_t number : world_.store(ledger)) {
    const Record& record = ledger.records[number];
    for (const auto& stream : streams_) {
      if (stream->organisation() == ledger.id) stream->stored(*record.offset, record);
    }
  }
}

// What people do.
void Simulation::disturb(Stream& stream) {
  switch (world_.below(18)) {
    case 0:
    case 1:
    case 2:
    case 3: stream.skip(); break;
    case 4: send_again(stream, &Stream::replay_of); break;
    case 5:
      if (!has_replay(stream.id())) stream.close();
      break;
    case 6: send_again(stream, &Stream::redrive_of); break;
    case 7:
      if (world_.one_in(2)) stream.cancel();
      break;
    case 8:
      if (world_.one_in(2)) create();
      break;
    case 9:
      if (!stream.is_replay() && world_.one_in(4)) erase(stream);
      break;
    default: stream.command(); break;
  }
}

void Simulation::step() {
  if (streams_.empty()) return create();
  std::unique_ptr<Stream>& chosen = streams_[world_.below(streams_.size())];
  if (chosen->is_over()) return conclude();
  if (world_.one_in(8)) hand_over(chosen);
  Stream& stream = *chosen;
  switch (world_.below(20)) {
    case 0:
    case 1:
      if (world_.one_in(pace_)) store();
      break;
    case 2:
    case 3: stream.hear_of_end(); break;
    case 4:
    case 5:
    case 6: stream.read(); break;
    case 7:
    case 8: stream.write_journal(); break;
    case 9:
    case 10: stream.hear_of_journal(); break;
    case 11:
    case 12:
    case 13:
      stream.answer(false);
      stream.hear_of_parking(false);
      stream.remove_redriven();
      if (stream.is_replay()) conclude();
      break;
    case 14:
    case 15:
      world_.clock.advance(
          std::chrono::milliseconds(world_.below(world_.one_in(10) ? 100'000 : 500)));
      for (const auto& each : streams_) each->pass_time();
      break;
    case 16: disturb(stream); break;
    case 17:
      if (world_.one_in(3)) stream.change_settings();
      if (world_.one_in(2)) stream.hear_of_change();
      break;
    case 18:
      if (world_.one_in(6)) world_.log->run_retention();
      world_.one_in(3) ? stream.release() : stream.write_catalog();
      break;
    case 19:
      if (world_.one_in(fault_pace_)) {
        world_.one_in(2) ? world_.arm_fault() : world_.heal();
      } else if (world_.one_in(8)) {
        world_.one_in(3) ? stop() : end_life();
      }
      break;
  }
}

void Simulation::settle_down() {
  world_.heal();
  bool busy = true;
  for (int i = 0; busy; ++i) {
    if (i == kStepsToSettle) throw Violation("it never comes to rest after the faults have ended");
    busy = false;
    for (const auto& stream : streams_) busy = stream->settle_down() || busy;
    conclude();
  }
  for (const auto& stream : streams_) stream->check_end();
}

}  // namespace sluice::simulator
