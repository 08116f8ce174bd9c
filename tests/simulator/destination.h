#pragma once
// Where a simulated stream's records go, and what that makes of each of them, whenever it comes.

#include <cstdint>
#include <optional>

#include "simulator/world.h"

namespace sluice::simulator {

class Destination {
 public:
  enum class Fate : std::uint8_t { Taken, Refused, SetAside, Ignored };

  explicit Destination(World& world);

  Fate fate(std::size_t number, const Record& record) const;
  // Now: an outage hits every attempt. Asked once for each of them.
  bool is_down(World& world);

 private:
  std::optional<std::int64_t> refused_endpoint_;
  std::optional<std::size_t> set_aside_;  // numbers that leave that rest
  std::optional<std::size_t> ignored_;    // likewise
  bool flaps_ = false;
  bool down_ = false;
};

}  // namespace sluice::simulator
