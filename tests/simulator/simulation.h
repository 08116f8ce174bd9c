#pragma once
// One run of the simulator: everything about it follows from its seed.

#include <cstdint>
#include <memory>
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
  void step();
  void disturb();
  using Again = std::unique_ptr<Stream>(const Stream& stream, ReplayId id);
  void send_again(const Stream& stream, Again* again);
  void hand_over(std::unique_ptr<Stream>& stream);
  void store();
  void settle_down();

  World world_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::uint64_t pace_ = 1;        // how slowly records come
  std::uint64_t fault_pace_ = 1;  // and faults
  std::uint64_t next_id_ = 10;    // of replays, and of streams that take another's place
};

}  // namespace sluice::simulator
