#pragma once
// One run of the simulator: everything about it follows from its seed.

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "simulator/stream.h"
#include "simulator/world.h"

namespace sluice::simulator {

class Simulation {
 public:
  Simulation(std::uint64_t seed, Metrics& metrics);
  // Throws Violation.
  void run();

 private:
  void begin_life();
  void end_life();
  void stop();
  void step();
  void disturb(Stream& stream);
  void store();
  void settle_down();

  // Who there is, beside what a starting process finds in the catalog.
  void meet();
  void meet_replays();
  void check_hand_overs() const;
  Stream* find(StreamId id) const;
  bool has_replay(StreamId id) const;
  void create();
  void erase(Stream& stream);
  void forget(StreamId id);
  using Again = std::unique_ptr<Stream>(Stream& stream);
  void send_again(Stream& stream, Again* again);
  void hand_over(std::unique_ptr<Stream>& stream);
  void conclude();

  World world_;
  std::vector<std::unique_ptr<Stream>> streams_;   // and replays
  std::vector<std::unique_ptr<Stream>> replaced_;  // oldest first
  std::vector<std::unique_ptr<Stream>> doubtful_;  // the disk failed at their creation
  std::set<StreamId> deleted_;
  std::set<ReplayId> ended_;
  std::uint64_t pace_ = 1;        // how slowly records come
  std::uint64_t fault_pace_ = 1;  // and faults
  std::uint64_t created_ = 0;
};

}  // namespace sluice::simulator
