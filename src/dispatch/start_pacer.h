#pragma once
// After an outage not all streams to one host begin at once.

#include <chrono>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/mutex.h"

namespace sluice::dispatch {

// Gives out times at which streams begin again: of one host at most kPerSecond in a second. Keeps
// nothing of hosts whose times have passed. Threads: any.
class StartPacer {
 public:
  static constexpr int kPerSecond = 50;

  // Now, or as soon after as others have left room. "" is no host, and never waits.
  SteadyTime take(const std::string& host, SteadyTime now);

  std::size_t hosts() const;

 private:
  mutable Mutex mutex_;
  std::unordered_map<std::string, SteadyTime> next_ SLUICE_GUARDED_BY(mutex_);
  SteadyTime swept_ SLUICE_GUARDED_BY(mutex_){};
};

}  // namespace sluice::dispatch
