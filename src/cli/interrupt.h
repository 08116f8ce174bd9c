#pragma once
#include <algorithm>
#include <chrono>

#include "cli/signals.h"

namespace sluice::cli {

// SIGINT and SIGTERM for a command that works in one thread: noticed between two steps, so that
// what is under way is ended and reported. Make it before the first thread.
class Interrupt {
 public:
  bool stopped() {
    if (!stopped_) stopped_ = signals_.wait_for(0);
    return stopped_;
  }

  // Waits; false, and at once, when the user wants an end.
  bool pause(std::chrono::milliseconds time) {
    const long ms = static_cast<long>(std::max<std::int64_t>(0, time.count()));
    if (!stopped_) stopped_ = signals_.wait_for(ms);
    return !stopped_;
  }

 private:
  StopSignals signals_;
  bool stopped_ = false;
};

}  // namespace sluice::cli
