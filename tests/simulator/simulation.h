#pragma once
// One run of the simulator: everything about it follows from its seed.

#include <cstdint>
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
  void store();
  void settle_down();

  World world_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::uint64_t pace_ = 1;        // how slowly records come
  std::uint64_t fault_pace_ = 1;  // and faults
};

}  // namespace sluice::simulator
