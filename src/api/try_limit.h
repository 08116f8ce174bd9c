#pragma once
#include <chrono>
#include <cstddef>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/mutex.h"

namespace sluice::api {

// How often one address may try to log in: tries, not failures, in any stretch of `window`. An IPv6
// address counts by its /64, which one host has to itself. Threads: any.
class TryLimit {
 public:
  struct Settings {
    std::size_t tries_max = 100;
    std::chrono::seconds window = std::chrono::minutes(5);
    std::size_t addresses_max = 16'384;  // remembered; beyond, the longest unseen is forgotten
  };
  // `clock` outlives it.
  TryLimit(Settings settings, const Clock& clock) : settings_(settings), clock_(clock) {}

  // Counts a try. A value: refused, not counted, and when to come again.
  std::optional<std::chrono::seconds> count(std::string_view address);

 private:
  struct Address {
    std::string name;
    std::deque<SteadyTime> tries;  // the oldest first
  };

  const Settings settings_;
  const Clock& clock_;
  Mutex mutex_;
  std::list<Address> seen_ SLUICE_GUARDED_BY(mutex_);  // the latest first
  std::unordered_map<std::string, std::list<Address>::iterator> by_name_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::api
