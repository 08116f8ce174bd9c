#include "dispatch/start_pacer.h"

#include <algorithm>

namespace sluice::dispatch {
namespace {

constexpr std::chrono::seconds kSweepInterval{1};

}  // namespace

SteadyTime StartPacer::take(const std::string& host, SteadyTime now) {
  if (host.empty()) return now;
  const MutexLock lock(mutex_);
  if (now - swept_ >= kSweepInterval) {
    std::erase_if(next_, [now](const auto& each) { return each.second <= now; });
    swept_ = now;
  }
  SteadyTime& next = next_[host];
  const SteadyTime begins = std::max(next, now);
  next = begins + std::chrono::milliseconds(1000 / kPerSecond);
  return begins;
}

std::size_t StartPacer::hosts() const {
  const MutexLock lock(mutex_);
  return next_.size();
}

}  // namespace sluice::dispatch
