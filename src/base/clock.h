#pragma once
#include <chrono>
#include <cstdint>

namespace sluice {

// Wall-clock time, UTC, in milliseconds since the epoch. For stamps and retention only.
struct WallTime {
  std::int64_t ms = 0;
  friend constexpr auto operator<=>(WallTime, WallTime) = default;
};

using SteadyTime = std::chrono::steady_clock::time_point;

// Time as everything but the event loop's timers sees it, so that tests and the simulator can
// replace it. Threads: any.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime now() const = 0;
  virtual SteadyTime steady() const = 0;  // for back-off and deadlines: never jumps
};

class SystemClock final : public Clock {
 public:
  WallTime now() const override {
    using namespace std::chrono;
    return {duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count()};
  }
  SteadyTime steady() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace sluice
