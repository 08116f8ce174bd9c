// StreamMachine as a replay: bounded, with ids of its own.

#include <gtest/gtest.h>

#include "dispatch/stream_script.h"

namespace sluice::dispatch {
namespace {

// Of the records [from, to).
struct ReplayScript : Script {
  ReplayScript(std::uint64_t from, std::uint64_t to) {
    options.replay = StreamMachine::Options::Replay{ReplayId{8}, Offset{to}};
    start.cursor = Offset{from};
    start.entry.reset();
  }
};

TEST(Replay, SendsItsRangeAndNoMore) {
  ReplayScript s(3, 25);
  s.lay(100);
  EXPECT_EQ(s.begin(), "freeze 3-12");
  EXPECT_EQ(s.freezing->stream, catalog::replay_key(ReplayId{8}));
  EXPECT_EQ(s.frozen(), "send 5-r8-1-3-12 #1");
  EXPECT_EQ(s.batch().replay, ReplayId{8});
  EXPECT_FALSE(s.machine->rest());
  EXPECT_EQ(s.delivered(), "send 5-r8-1-13-22 #1");
  EXPECT_EQ(s.machine->rest(), 12u);
  // Its last batch follows from the range, so that it need not be frozen.
  EXPECT_EQ(s.delivered(), "send 5-r8-1-23-24 #1");
  EXPECT_EQ(s.machine->rest(), 2u);
  EXPECT_FALSE(s.machine->finished());
  EXPECT_EQ(s.delivered(), "");
  EXPECT_TRUE(s.machine->finished());
  EXPECT_EQ(s.machine->rest(), 0u);
  EXPECT_EQ(s.machine->delivered(), 22u);
}

TEST(Replay, ANextProcessGoesOnWhereItStood) {
  ReplayScript s(0, 25);
  s.lay(100);
  s.begin();
  s.frozen();
  s.delivered();
  const std::string saved = s.after(Milliseconds{100});
  EXPECT_EQ(saved, "save 10");
  s.start.entry = s.saving;
  EXPECT_EQ(s.begin(), "send 5-r8-1-10-19 #1");
  EXPECT_EQ(s.delivered(), "send 5-r8-1-20-24 #1");
  s.delivered();
  EXPECT_TRUE(s.machine->finished());
  EXPECT_EQ(s.machine->delivered(), 25u);
}

TEST(Replay, IsDoneWhereNothingPasses) {
  ReplayScript s(0, 25);
  s.options.settings.filter = only_types({99});
  s.lay(100);
  EXPECT_EQ(s.begin(), "");
  EXPECT_TRUE(s.machine->finished());
  EXPECT_EQ(s.machine->cursor(), Offset{25});
}

TEST(Replay, EndsWithinItsRangeWhereTheRestIsOfOtherKinds) {
  ReplayScript s(0, 15);
  s.lay(10);
  s.lay(30, Kind::Usage);
  s.begin();
  EXPECT_EQ(s.frozen(), "send 5-r8-1-0-9 #1");
  s.delivered();
  EXPECT_TRUE(s.machine->finished());
  EXPECT_EQ(s.machine->cursor(), Offset{15});
}

TEST(Replay, WhatIsRefusedIsParkedUnderItsOwnKey) {
  ReplayScript s(0, 1);
  s.lay(5);
  s.begin();
  s.frozen();
  EXPECT_EQ(s.sent(connectors::Rejected{"no"}, 400), "park 0-0");
  EXPECT_EQ(s.parking->behind.stream, catalog::replay_key(ReplayId{8}));
  s.parked();
  EXPECT_TRUE(s.machine->finished());
  EXPECT_EQ(s.machine->parked_count(), 1u);
}

TEST(Replay, WaitsWhileItIsPaused) {
  ReplayScript s(0, 25);
  s.lay(100);
  s.begin();
  s.frozen();
  s.command(Command::Pause);
  s.failed();
  EXPECT_EQ(s.machine->wake_at(), std::nullopt);
  EXPECT_EQ(s.command(Command::Resume), "");
  EXPECT_EQ(s.after(Milliseconds{8000}), "send 5-r8-1-0-9 #2");
}

}  // namespace
}  // namespace sluice::dispatch
