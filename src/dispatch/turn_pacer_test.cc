#include "dispatch/turn_pacer.h"

#include <gtest/gtest.h>

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;

class Line {
 public:
  // How many of those that wait since `since` have their turn by now.
  int serve(SteadyTime since) {
    int served = 0;
    for (; served < 1000 && pacer_.next(now, since) <= now; ++served) pacer_.taken();
    return served;
  }
  SteadyTime next(SteadyTime since) { return pacer_.next(now, since); }

  SteadyTime now = SteadyTime() + 1h;

 private:
  TurnPacer pacer_;
};

TEST(TurnPacer, FewDoNotWait) {
  Line line;
  EXPECT_EQ(line.serve(line.now), TurnPacer::kTurnsARound);
  line.now += TurnPacer::kRound;
  EXPECT_EQ(line.serve(line.now), TurnPacer::kTurnsARound);
}

TEST(TurnPacer, ManyWaitForTheNextRound) {
  Line line;
  const SteadyTime begun = line.now;
  line.serve(begun);
  line.now += 1ms;
  EXPECT_EQ(line.next(line.now), begun + TurnPacer::kRound);
  EXPECT_EQ(line.serve(line.now), 0);
}

TEST(TurnPacer, ALoopThatWasBusyMakesUpForNoRound) {
  Line line;
  line.serve(line.now);
  line.now += 100 * TurnPacer::kRound;
  EXPECT_EQ(line.serve(line.now), TurnPacer::kTurnsARound);
}

TEST(TurnPacer, NobodyWaitsForEver) {
  Line line;
  line.now += TurnPacer::kWaitMax;
  const SteadyTime early = line.now - TurnPacer::kWaitMax + 1ms;
  line.serve(line.now);
  EXPECT_EQ(line.next(early), line.now + 1ms);
  line.now += 1ms;
  EXPECT_EQ(line.serve(early), 1000) << "however many they are";
  EXPECT_EQ(line.serve(line.now), 0) << "others keep to the rounds";
  line.now += TurnPacer::kRound;
  EXPECT_EQ(line.serve(line.now), TurnPacer::kTurnsARound);
}

}  // namespace
}  // namespace sluice::dispatch
