#include "simulator/simulation.h"

#include <memory>

namespace sluice::simulator {
namespace {

constexpr int kSteps = 600;
constexpr int kStepsToSettle = 100'000;

}  // namespace

Simulation::Simulation(std::uint64_t seed, Metrics& metrics) : world_(seed, metrics) {
  const std::uint64_t streams = 1 + world_.below(3);
  for (std::uint64_t i = 1; i <= streams; ++i) {
    streams_.push_back(
        std::make_unique<Stream>(world_, StreamId{i}, world_.below(world_.ledgers.size())));
  }
  pace_ = 1 + world_.below(6);
  fault_pace_ = 1 + world_.below(10);
}

void Simulation::run() {
  begin_life();
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
  for (const auto& stream : streams_) stream->begin();
}

void Simulation::end_life() {
  for (const auto& stream : streams_) stream->end();
  world_.end_life();
  world_.clock.advance(std::chrono::milliseconds(world_.below(5000)));
  begin_life();
}

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
void Simulation::disturb() {
  std::unique_ptr<Stream>& stream = streams_[world_.below(streams_.size())];
  switch (world_.below(16)) {
    case 0:
    case 1:
    case 2:
    case 3: stream->skip(); break;
    case 4: send_again(*stream, &Stream::replay_of); break;
    case 5: stream->close(); break;
    case 6: send_again(*stream, &Stream::redrive_of); break;
    default: stream->command(); break;
  }
}

// One replay of a stream at a time.
void Simulation::send_again(const Stream& stream, Again* again) {
  for (const auto& other : streams_) {
    if (other->id() == stream.id() && other->is_replay() && !other->is_finished()) return;
  }
  auto replay = again(stream, ReplayId{next_id_});
  if (!replay) return;
  ++next_id_;
  streams_.push_back(std::move(replay));
}

void Simulation::hand_over(std::unique_ptr<Stream>& stream) {
  auto successor = stream->successor(StreamId{next_id_});
  if (!successor) return;
  ++next_id_;
  stream = std::move(successor);
}

void Simulation::step() {
  std::unique_ptr<Stream>& chosen = streams_[world_.below(streams_.size())];
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
      if (stream.conclude()) std::swap(chosen, streams_.back()), streams_.pop_back();
      break;
    case 14:
    case 15:
      world_.clock.advance(
          std::chrono::milliseconds(world_.below(world_.one_in(10) ? 100'000 : 500)));
      for (const auto& each : streams_) each->pass_time();
      break;
    case 16: disturb(); break;
    case 17:
      if (world_.one_in(3)) stream.change_settings();
      if (world_.one_in(2)) stream.hear_of_change();
      break;
    case 18: world_.one_in(3) ? stream.release() : stream.write_catalog(); break;
    case 19:
      if (world_.one_in(fault_pace_)) {
        world_.one_in(2) ? world_.arm_fault() : world_.heal();
      } else if (world_.one_in(8)) {
        end_life();
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
  }
  std::erase_if(streams_, [](const auto& stream) { return stream->conclude(); });
  for (const auto& stream : streams_) stream->check_end();
}

}  // namespace sluice::simulator
