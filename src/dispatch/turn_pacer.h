#pragma once
// When many streams have a little to read, they wait for one another, so that batches grow: a
// request costs as much as a hundred records or more (ADR 10).

#include <chrono>

#include "base/clock.h"

namespace sluice::dispatch {

// Of one loop. Threads: none.
class TurnPacer {
 public:
  // So many a round begin at once; who comes behind them waits for a later round, but not longer
  // than kWaitMax.
  static constexpr int kTurnsARound = 4;
  static constexpr std::chrono::milliseconds kRound{4};
  static constexpr std::chrono::milliseconds kWaitMax{500};

  // When the one that has waited since `since` may have its turn: `now`, or later.
  SteadyTime next(SteadyTime now, SteadyTime since);
  void taken() { --turns_left_; }

 private:
  SteadyTime round_end_;
  int turns_left_ = 0;  // of the round; negative: some have waited long enough
};

}  // namespace sluice::dispatch
