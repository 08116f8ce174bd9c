#include "dispatch/turn_pacer.h"

#include <algorithm>

namespace sluice::dispatch {

SteadyTime TurnPacer::next(SteadyTime now, SteadyTime since) {
  if (now >= round_end_) {
    round_end_ = now + kRound;
    turns_left_ = kTurnsARound;
  }
  if (turns_left_ > 0) return now;
  return std::max(now, std::min(round_end_, since + kWaitMax));
}

}  // namespace sluice::dispatch
