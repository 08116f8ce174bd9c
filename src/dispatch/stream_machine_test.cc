#include <fmt/format.h>
#include <gtest/gtest.h>

#include "dispatch/stream_script.h"

// How the machine cuts, retries, takes commands, starts, stops and bears faults.

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using catalog::StreamStatus;
using connectors::Delivered;
using connectors::Gone;
using connectors::RetryLater;

// ---- Cutting -----------------------------------------------------------------------------------

TEST(StreamMachine, FullBatchGoesOutWithoutTheJournalAndTheCursorIsSavedLater) {
  Script s;
  EXPECT_EQ(s.begin(), "");
  EXPECT_EQ(s.store(10), "send 5-1-0-9 #1");
  EXPECT_EQ(s.batch().previous, std::nullopt);
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.machine->cursor(), Offset{10});
  EXPECT_EQ(s.machine->delivered(), 10u);
  EXPECT_EQ(s.after(99ms), "");
  EXPECT_EQ(s.after(1ms), "save 10");
  EXPECT_EQ(s.saved(), "");
  EXPECT_EQ(s.after(1h), "");
  EXPECT_EQ(s.machine->wake_at(), std::nullopt);
}

TEST(StreamMachine, ShortBatchIsFrozenBeforeItIsSent) {
  Script s;
  s.begin();
  EXPECT_EQ(s.store(3), "freeze 0-2");
  EXPECT_EQ(s.freezing->records, 3u);
  EXPECT_EQ(s.store(4), "");
  EXPECT_EQ(s.frozen(), "send 5-1-0-2 #1");
  EXPECT_EQ(s.delivered(), "freeze 3-6");
  EXPECT_EQ(s.freezing->previous, Offset{2});
  EXPECT_EQ(s.freezing->delivered, 3u);
  EXPECT_EQ(s.frozen(), "send 5-1-3-6 #1");
  EXPECT_EQ(s.batch().previous, Offset{2});
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.after(100ms), "save 7");
}

TEST(StreamMachine, BatchesAreCutAcrossChunksAndTheNextGathersMeanwhile) {
  Script s;
  for (int i = 0; i < 6; ++i) s.lay(4);
  EXPECT_EQ(s.begin(), "send 5-1-0-9 #1");
  EXPECT_EQ(s.batch().runs.size(), 3u);
  EXPECT_EQ(s.batch().runs[2].end, 2u);
  EXPECT_EQ(s.machine->wants_read(), std::nullopt) << "one batch ahead, no more";
  EXPECT_EQ(s.delivered(), "send 5-1-10-19 #1");
  EXPECT_EQ(s.delivered(), "freeze 20-23");
}

TEST(StreamMachine, NothingGathersBehindABatchThatHoldsAsMuchAsAStreamMay) {
  Script s;
  s.options.memory_bytes_max = 1;
  for (int i = 0; i < 6; ++i) s.lay(4);
  EXPECT_EQ(s.begin(), "send 5-1-0-9 #1") << "but one batch goes, whatever its size";
  EXPECT_EQ(s.machine->wants_read(), std::nullopt);
  const std::uint64_t held = s.machine->memory_bytes();
  EXPECT_EQ(s.delivered(), "send 5-1-10-19 #1");
  EXPECT_EQ(s.delivered(), "freeze 20-23");

  Script other;
  for (int i = 0; i < 6; ++i) other.lay(4);
  other.begin();
  EXPECT_GT(other.machine->memory_bytes(), held);
}

TEST(StreamMachine, BytesCloseABatchAndALargerRecordGoesAlone) {
  Script s({}, {10, 100});
  s.lay(3, Kind::Event, 49);  // 50 each with its comma
  s.lay(1, Kind::Event, 500);
  s.lay(2, Kind::Event, 10);
  EXPECT_EQ(s.begin(), "send 5-1-0-1 #1");
  EXPECT_EQ(s.delivered(), "send 5-1-2-2 #1");
  EXPECT_EQ(s.delivered(), "send 5-1-3-3 #1");
  EXPECT_EQ(s.delivered(), "freeze 4-5");
}

TEST(StreamMachine, OtherKindsAreLeftOutAndMoveTheCursor) {
  Script s;
  s.lay(3, Kind::Usage);
  s.lay(2);
  s.lay(5, Kind::Usage);
  s.lay(2);
  s.lay(5, Kind::Usage);
  EXPECT_EQ(s.begin(), "freeze 3-11");
  EXPECT_EQ(s.freezing->records, 4u);
  EXPECT_EQ(s.frozen(), "send 5-1-3-11 #1");
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.machine->cursor(), Offset{17});
  EXPECT_EQ(s.after(100ms), "save 17");
  EXPECT_EQ(s.saved(), "");
  EXPECT_EQ(s.store(5, Kind::Usage), "");
  EXPECT_EQ(s.after(4999ms), "") << "passing over costs no write at once";
  EXPECT_EQ(s.after(1ms), "save 22");
}

TEST(StreamMachine, LingerWaitsForMoreFromTheFirstRecordOn) {
  Script s(with_linger(1s));
  s.begin();
  EXPECT_EQ(s.store(3), "");
  EXPECT_EQ(s.after(900ms), "");
  EXPECT_EQ(s.store(3), "");
  EXPECT_EQ(s.after(99ms), "");
  EXPECT_EQ(s.after(1ms), "freeze 0-5");
  EXPECT_EQ(s.frozen(), "send 5-1-0-5 #1");
  EXPECT_EQ(s.store(5), "");
  EXPECT_EQ(s.after(10s), "");
  EXPECT_EQ(s.delivered(), "") << "its first record could be sent only now";
  EXPECT_EQ(s.store(5), "send 5-1-6-15 #1") << "a full batch does not wait";
}

TEST(StreamMachine, AtMostOneBatchBeginsInAnInterval) {
  DeliverySettings settings;
  settings.interval = 1s;
  Script s(settings);
  for (int i = 0; i < 25; ++i) s.lay(1);
  EXPECT_EQ(s.begin(), "send 5-1-0-9 #1");
  EXPECT_EQ(s.after(300ms), "");
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.after(600ms), "save 10");
  EXPECT_EQ(s.after(100ms), "send 5-1-10-19 #1");
  EXPECT_EQ(s.after(5s), "");
  EXPECT_EQ(s.delivered(), "freeze 20-24");
  EXPECT_EQ(s.frozen(), "send 5-1-20-24 #1");
}

TEST(StreamMachine, SavesAtLeastEvery64Batches) {
  Script s({}, {1, 1000});
  s.begin();
  s.store(200);
  for (int i = 1; i < 64; ++i) ASSERT_EQ(s.delivered(), fmt::format("send 5-1-{0}-{0} #1", i));
  EXPECT_EQ(s.delivered(), "save 64, send 5-1-64-64 #1");
}

// ---- Retrying ----------------------------------------------------------------------------------

TEST(StreamMachine, RetriesTheSameBatchAndReadsItAgain) {
  Script s;
  for (int i = 0; i < 4; ++i) s.lay(4);
  EXPECT_EQ(s.begin(), "send 5-1-0-9 #1");
  EXPECT_EQ(s.failed("no"), "");
  EXPECT_EQ(s.machine->last_error(), "no");
  EXPECT_EQ(s.machine->remote_status(), 503);
  EXPECT_EQ(s.machine->next_attempt(), s.now + 8s);
  EXPECT_EQ(s.machine->memory_bytes(), 0u) << "a waiting batch holds nothing";
  EXPECT_EQ(s.store(4), "");
  EXPECT_EQ(s.after(7999ms), "");
  EXPECT_EQ(s.after(1ms), "send 5-1-0-9 #2");
  EXPECT_EQ(s.failed(), "");
  EXPECT_EQ(s.after(15999ms), "");
  EXPECT_EQ(s.after(1ms), "send 5-1-0-9 #3");
  EXPECT_EQ(s.machine->memory_bytes() > 0, true);
  EXPECT_EQ(s.delivered(), "send 5-1-10-19 #1");
  EXPECT_EQ(s.machine->last_error(), "");
  EXPECT_EQ(s.failed(), "");
  EXPECT_EQ(s.machine->next_attempt(), s.now + 8s) << "a success resets the back-off";
}

TEST(StreamMachine, RetryAfterAndSlowAnswersLengthenTheWait) {
  Script s;
  s.begin();
  s.store(10);
  EXPECT_EQ(s.sent(RetryLater{"busy", 60s, 0}, 429), "");
  EXPECT_EQ(s.machine->next_attempt(), s.now + 60s);
  EXPECT_EQ(s.after(60s), "send 5-1-0-9 #2");
  EXPECT_EQ(s.after(9s), "");
  EXPECT_EQ(s.failed(), "");
  EXPECT_EQ(s.machine->next_attempt(), s.now + 36s);
  EXPECT_EQ(s.after(36s), "send 5-1-0-9 #3");
  EXPECT_EQ(s.after(1s), "");
  EXPECT_EQ(s.sent(RetryLater{"reset", {}, 0}, 502, false), "");
  EXPECT_EQ(s.machine->next_attempt(), s.now + 36s) << "the last answered one counts";
}

TEST(StreamMachine, GoesToErrorWithoutSuccessForTheTimeSet) {
  DeliverySettings settings;
  settings.error_after = 60s;
  Script s(settings);
  s.begin();
  s.store(10);
  s.failed();
  EXPECT_EQ(s.after(8s), "send 5-1-0-9 #2");
  s.failed();
  EXPECT_EQ(s.after(16s), "send 5-1-0-9 #3");
  s.failed("still no");
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.after(36s - 1ms), "send 5-1-0-9 #4");
  EXPECT_EQ(s.after(5s), "") << "an attempt under way is awaited";
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  s.failed("still no");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_NE(s.machine->last_error().find("no success for 60 s"), std::string::npos);
  EXPECT_NE(s.machine->last_error().find("still no"), std::string::npos);
  EXPECT_EQ(s.machine->wake_at(), std::nullopt);
  EXPECT_EQ(s.command(Command::Restart), "send 5-1-0-9 #5");
  s.failed();
  EXPECT_EQ(s.machine->status(), StreamStatus::Running) << "its time begins anew";
}

TEST(StreamMachine, ErrorComesWhileWaitingToo) {
  DeliverySettings settings;
  settings.error_after = 10s;
  Script s(settings);
  s.begin();
  s.store(10);
  s.failed();
  EXPECT_EQ(s.after(8s), "send 5-1-0-9 #2");
  s.failed();
  EXPECT_EQ(s.after(1999ms), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.after(1ms), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
}

TEST(StreamMachine, ClockOfFailuresGoesOnInTheNextLife) {
  DeliverySettings settings;
  settings.error_after = 120s;
  Script s(settings);
  s.start.failing = 60s;
  s.begin();
  s.store(10);
  EXPECT_EQ(s.after(59s), "");
  EXPECT_EQ(s.machine->failing_for(s.now), 119s);
  s.failed();
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  s.after(1s);
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_EQ(s.machine->failing_for(s.now), 0s);
}

TEST(StreamMachine, PauseStopsTheClockOfFailures) {
  DeliverySettings settings;
  settings.error_after = 60s;
  Script s(settings);
  s.begin();
  s.store(10);
  s.failed();
  s.command(Command::Pause);
  EXPECT_EQ(s.after(1000s), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Paused);
  EXPECT_EQ(s.command(Command::Resume), "send 5-1-0-9 #2");
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.after(59s), "");
  s.failed();
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.after(1s), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
}

TEST(StreamMachine, GoneLeadsToErrorAtOnceAndRestartSendsTheSame) {
  Script s;
  s.begin();
  s.store(3);
  s.frozen();
  EXPECT_EQ(s.sent(Gone{"410 moved out"}, 410), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_NE(s.machine->last_error().find("410 moved out"), std::string::npos);
  EXPECT_NE(s.machine->last_error().find("restart"), std::string::npos);
  EXPECT_EQ(s.store(5), "");
  EXPECT_EQ(s.after(48h), "") << "no cursor entry may take the boundary back";
  EXPECT_EQ(s.command(Command::Restart), "send 5-1-0-2 #2");
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.delivered(), "freeze 3-7");
}

// ---- Commands ----------------------------------------------------------------------------------

TEST(StreamMachine, CommandsAreTakenAsTheTableSays) {
  struct Case {
    StreamStatus from;
    StreamStatus before_pause;
    Command command;
    std::optional<StreamStatus> to;  // none: refused
  };
  using enum StreamStatus;
  const std::vector<Case> cases = {
      {Running, Running, Command::Resume, Running},
      {Running, Running, Command::Pause, Paused},
      {Running, Running, Command::Disable, Disabled},
      {Running, Running, Command::Restart, Running},
      {Pending, Running, Command::Resume, Running},
      {Pending, Running, Command::Pause, Paused},
      {Pending, Running, Command::Disable, Disabled},
      {Pending, Running, Command::Restart, Running},
      {Paused, Running, Command::Resume, Running},
      {Paused, Error, Command::Resume, Error},
      {Paused, Running, Command::Pause, {}},
      {Paused, Error, Command::Pause, {}},
      {Paused, Running, Command::Disable, Disabled},
      {Paused, Error, Command::Disable, Disabled},
      {Paused, Running, Command::Restart, {}},
      {Paused, Error, Command::Restart, {}},
      {Error, Running, Command::Resume, {}},
      {Error, Running, Command::Pause, Paused},
      {Error, Running, Command::Disable, Disabled},
      {Error, Running, Command::Restart, Running},
      {Disabled, Running, Command::Resume, Running},
      {Disabled, Running, Command::Pause, {}},
      {Disabled, Running, Command::Disable, Disabled},
      {Disabled, Running, Command::Restart, {}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(fmt::format("{} ({}) with {}", static_cast<int>(c.from),
                             static_cast<int>(c.before_pause), static_cast<int>(c.command)));
    Script s;
    s.start.status = c.from;
    s.start.before_pause = c.before_pause;
    s.start.last_error = "before";
    s.begin();
    const std::string did = s.command(c.command);
    EXPECT_EQ(did == "refused", !c.to.has_value());
    EXPECT_EQ(s.machine->status(), c.to.value_or(c.from));
  }
}

TEST(StreamMachine, PauseOverAnErrorComesBackToTheError) {
  Script s;
  s.start.status = StreamStatus::Error;
  s.start.last_error = "410";
  s.begin();
  s.store(10);
  EXPECT_EQ(s.command(Command::Pause), "");
  EXPECT_EQ(s.command(Command::Resume), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_EQ(s.machine->last_error(), "410");
  EXPECT_EQ(s.command(Command::Restart), "send 5-1-0-9 #1");
}

TEST(StreamMachine, AttemptUnderWayCountsWhenPaused) {
  Script s;
  s.begin();
  s.store(25);
  EXPECT_EQ(s.command(Command::Pause), "");
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.machine->cursor(), Offset{10});
  EXPECT_EQ(s.machine->memory_bytes(), 0u);
  EXPECT_EQ(s.after(1h), "save 10");
  EXPECT_EQ(s.store(5), "");
  EXPECT_EQ(s.command(Command::Resume), "send 5-1-10-19 #1");
}

TEST(StreamMachine, FailureUnderWayWhenPausedShowsAfterThePause) {
  Script s;
  s.begin();
  s.store(10);
  s.command(Command::Pause);
  s.sent(Gone{"410"}, 410);
  EXPECT_EQ(s.machine->status(), StreamStatus::Paused);
  EXPECT_EQ(s.command(Command::Resume), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_NE(s.machine->last_error().find("410"), std::string::npos);
}

TEST(StreamMachine, PauseWhileFreezingSendsNothing) {
  Script s;
  s.begin();
  EXPECT_EQ(s.store(3), "freeze 0-2");
  EXPECT_EQ(s.command(Command::Pause), "");
  EXPECT_EQ(s.frozen(), "");
  EXPECT_EQ(s.after(1h), "");
  EXPECT_EQ(s.command(Command::Resume), "send 5-1-0-2 #1");
}

TEST(StreamMachine, RestartWhileWaitingTriesNow) {
  Script s;
  s.begin();
  s.store(10);
  s.failed();
  EXPECT_EQ(s.after(1s), "");
  EXPECT_EQ(s.command(Command::Restart), "send 5-1-0-9 #2");
  s.failed();
  EXPECT_EQ(s.machine->next_attempt(), s.now + 16s) << "the back-off goes on";
}

TEST(StreamMachine, PausedStreamLooksOnceHowOldItsOldestRecordIs) {
  Script s;
  s.start.status = StreamStatus::Paused;
  s.log.store(kOrganisation, Kind::Event, {"x"}, WallTime{123});
  EXPECT_EQ(s.begin(), "");
  EXPECT_EQ(s.machine->oldest_stored(), WallTime{123});
  EXPECT_EQ(s.machine->memory_bytes(), 0u);
  EXPECT_EQ(s.machine->cursor(), Offset{0});
  EXPECT_EQ(s.machine->wants_read(), std::nullopt);
}

// ---- Starting again ----------------------------------------------------------------------------

JournalEntry boundary_10_to_12() {
  JournalEntry entry;
  entry.stream = StreamId{5};
  entry.kind = JournalEntry::Kind::Boundary;
  entry.cursor = Offset{10};
  entry.last = Offset{12};
  entry.records = 3;
  entry.previous = Offset{9};
  entry.delivered = 10;
  entry.usage_stored_s = 5;
  entry.event_stored_s = 6;
  entry.render_revision = 1;
  return entry;
}

TEST(StreamMachineStart, FrozenBatchGoesAgainAsItWas) {
  Script s;
  s.lay(30);
  s.start.entry = boundary_10_to_12();
  EXPECT_EQ(s.begin(), "freeze 10-12") << "it may have been in the page cache only";
  EXPECT_EQ(*s.freezing, boundary_10_to_12());
  EXPECT_EQ(s.frozen(), "send 5-1-10-12 #1");
  EXPECT_EQ(s.batch().previous, Offset{9});
  EXPECT_EQ(s.batch().delivered_stored, (connectors::FirstStored{5, 6}));
  EXPECT_EQ(s.batch().records, 3u);
  EXPECT_EQ(s.delivered(), "send 5-1-13-22 #1");
  EXPECT_EQ(s.machine->delivered(), 13u);
}

TEST(StreamMachineStart, CursorGoesOnWithTheSameCut) {
  Script s;
  s.lay(30);
  s.start.entry = boundary_10_to_12();
  s.start.entry->kind = JournalEntry::Kind::Cursor;
  EXPECT_EQ(s.begin(), "send 5-1-10-19 #1");
  EXPECT_EQ(s.batch().previous, Offset{9});
}

TEST(StreamMachineStart, FirstBatchOfAllIsFrozenSoThatTheJournalKnowsTheFormatter) {
  Script s;
  s.lay(30);
  s.start.entry.reset();
  EXPECT_EQ(s.begin(), "freeze 0-9");
  EXPECT_EQ(s.frozen(), "send 5-1-0-9 #1");
  EXPECT_EQ(s.delivered(), "send 5-1-10-19 #1");
}

TEST(StreamMachineStart, NewerSettingsOrFormatterLetTheFrozenBatchGo) {
  for (const bool settings : {true, false}) {
    Script s;
    s.lay(30);
    s.start.entry = boundary_10_to_12();
    if (settings) {
      s.start.revision = 2;
    } else {
      s.options.settings.render_revision = 2;
    }
    EXPECT_EQ(s.begin(), "freeze 10-19");
    EXPECT_EQ(s.freezing->revision, 2u);
    EXPECT_EQ(s.frozen(), "send 5-2-10-19 #1");
    EXPECT_EQ(s.delivered(), "send 5-2-20-29 #1") << "from here on the journal knows";
  }
}

TEST(StreamMachineStart, FrozenBatchThatLostRecordsIsCutAnewUnderTheNextRevision) {
  for (const auto loss : {FakeLog::Loss::AgedOut, FakeLog::Loss::Damaged}) {
    Script s;
    s.lay(11);
    s.lay(1);
    s.lay(11);
    s.log.lose(kOrganisation, Offset{11}, loss);
    s.start.entry = boundary_10_to_12();
    EXPECT_EQ(s.begin(), "freeze 10-12");
    EXPECT_EQ(s.frozen(), "freeze 10-20");
    EXPECT_EQ(s.freezing->revision, 3u);
    EXPECT_EQ(s.freezing->records, 10u);
    EXPECT_EQ(s.frozen(), "send 5-3-10-20 #1");
    EXPECT_EQ(s.machine->losses().any(), false) << "counted with the batch";
    s.delivered();
    EXPECT_EQ(s.machine->losses().aged_out, loss == FakeLog::Loss::AgedOut ? 1u : 0u);
    EXPECT_EQ(s.machine->losses().damaged, loss == FakeLog::Loss::Damaged ? 1u : 0u);
  }
}

TEST(StreamMachineStart, FrozenBatchThatAgedOutAltogetherIsPassedOverAndCounted) {
  Script s;
  s.lay(20);
  s.log.lose(kOrganisation, Offset{0}, FakeLog::Loss::AgedOut);
  s.start.entry = boundary_10_to_12();
  EXPECT_EQ(s.begin(), "freeze 10-12");
  EXPECT_EQ(s.frozen(), "");
  EXPECT_EQ(s.machine->losses().aged_out, 10u);
  EXPECT_EQ(s.machine->cursor(), Offset{20});
  EXPECT_EQ(s.store(2), "freeze 20-21");
  EXPECT_EQ(s.frozen(), "send 5-2-20-21 #1");
}

TEST(StreamMachineStart, CutWithALossInsideIsFrozenUnderANewRevision) {
  Script s;
  s.lay(5);
  s.lay(5);
  s.lay(15);
  s.log.lose(kOrganisation, Offset{5}, FakeLog::Loss::Damaged);
  EXPECT_EQ(s.begin(), "freeze 0-14");
  EXPECT_EQ(s.frozen(), "send 5-2-0-14 #1");
  EXPECT_EQ(s.delivered(), "send 5-2-15-24 #1");
  EXPECT_EQ(s.machine->losses().damaged, 5u);
}

TEST(StreamMachineStart, CursorBeyondTheLogIsError) {
  Script s;
  s.start.entry = Script::cursor_at(Offset{1});
  EXPECT_EQ(s.begin(), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_TRUE(s.machine->last_error().starts_with("LogTruncated"));
  EXPECT_EQ(s.command(Command::Restart), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
}

TEST(StreamMachineStart, UnusableSettingsAreTheStreamsOwnError) {
  Script s;
  s.options.settings.unusable = "no such type";
  s.lay(20);
  EXPECT_EQ(s.begin(), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_EQ(s.machine->last_error(), "no such type");
  EXPECT_EQ(s.command(Command::Restart), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
}

// ---- Our own faults ----------------------------------------------------------------------------

TEST(StreamMachineFaults, NothingIsSentWhileTheJournalFails) {
  DeliverySettings settings;
  settings.error_after = 30s;
  Script s(settings);
  s.begin();
  EXPECT_EQ(s.store(3), "freeze 0-2");
  for (int i = 0; i < 60; ++i) {
    EXPECT_EQ(s.freeze_failed(), "");
    EXPECT_NE(s.machine->last_error().find("disk full"), std::string::npos);
    EXPECT_EQ(s.store(1), "");
    EXPECT_EQ(s.after(1s), "freeze 0-2") << "never cut again: the first try may be on disk";
  }
  EXPECT_EQ(s.frozen(), "send 5-1-0-2 #1");
  EXPECT_EQ(s.machine->last_error(), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
}

TEST(StreamMachineFaults, UnreadableLogIsTriedAgainAndStopsTheClockOfFailures) {
  DeliverySettings settings;
  settings.error_after = 60s;
  Script s(settings);
  s.begin();
  s.store(10);
  s.failed("503");
  s.log.fail_reads(Error{ErrorCode::Io, "EIO"});
  EXPECT_EQ(s.after(600s), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_NE(s.machine->last_error().find("EIO"), std::string::npos);
  s.log.fail_reads(std::nullopt);
  EXPECT_EQ(s.after(1s), "send 5-1-0-9 #2");
}

TEST(StreamMachineFaults, LogThatLostItsEndIsError) {
  Script s;
  s.begin();
  s.log.fail_reads(Error{ErrorCode::NotFound, "beyond the end"});
  EXPECT_EQ(s.store(3), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_TRUE(s.machine->last_error().starts_with("LogTruncated"));
}

TEST(StreamMachineFaults, FailedSaveIsTriedAgain) {
  Script s;
  s.begin();
  s.store(10);
  s.delivered();
  EXPECT_EQ(s.after(100ms), "save 10");
  EXPECT_EQ(s.save_failed(), "");
  EXPECT_EQ(s.after(1s), "save 10");
  EXPECT_EQ(s.saved(), "");
}

TEST(StreamMachineFaults, FailedSaveNeverTakesABoundaryBack) {
  Script s;
  s.begin();
  s.store(10);
  s.delivered();
  EXPECT_EQ(s.after(100ms), "save 10");
  EXPECT_EQ(s.store(2), "freeze 10-11");
  EXPECT_EQ(s.save_failed(), "");
  EXPECT_EQ(s.frozen(), "send 5-1-10-11 #1");
  EXPECT_EQ(s.after(10s), "");
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.after(100ms), "save 12");
}

// ---- Memory, stop ------------------------------------------------------------------------------

TEST(StreamMachine, ReleaseGivesBackWhatNoAttemptUsesAndTheLingerGoesOn) {
  Script s(with_linger(10s));
  s.begin();
  EXPECT_EQ(s.store(3), "");
  EXPECT_EQ(s.after(6s), "");
  EXPECT_EQ(s.release(), "");
  EXPECT_EQ(s.after(4s), "freeze 0-2");
}

TEST(StreamMachine, ReleaseLeavesItsBytesToABatchThatIsBeingFrozen) {
  Script s;
  s.begin();
  EXPECT_EQ(s.store(3), "freeze 0-2");
  s.lay(3);
  ASSERT_FALSE(s.machine->release(s.now).freeze.has_value());
  EXPECT_FALSE(s.machine->frozen({}, s.now).send.empty()) << "read again";
}

TEST(StreamMachineStop, AwaitsTheAttemptAndSavesTheCursor) {
  Script s;
  s.begin();
  s.store(25);
  EXPECT_EQ(s.stop(), "");
  EXPECT_FALSE(s.machine->stopped());
  EXPECT_EQ(s.delivered(), "save 10");
  EXPECT_FALSE(s.machine->stopped());
  EXPECT_EQ(s.saved(), "");
  EXPECT_TRUE(s.machine->stopped());
}

TEST(StreamMachineStop, AbandonedAttemptCountsOnlyIfItWasDelivered) {
  Script s;
  s.begin();
  s.store(25);
  s.stop();
  EXPECT_EQ(s.abandon(), "cancel");
  EXPECT_EQ(s.sent(RetryLater{"cancelled", {}, 0}, 500, false), "");
  EXPECT_TRUE(s.machine->stopped());
  EXPECT_EQ(s.machine->last_error(), "");
  EXPECT_EQ(s.machine->cursor(), Offset{0});

  Script t;
  t.begin();
  t.store(25);
  t.stop();
  EXPECT_EQ(t.abandon(), "cancel");
  EXPECT_EQ(t.delivered(), "save 10");
  EXPECT_EQ(t.save_failed(), "");
  EXPECT_TRUE(t.machine->stopped()) << "a failing journal does not hold up the stop";
}

TEST(StreamMachineStop, IdleStreamHasStoppedAtOnce) {
  Script s;
  s.begin();
  EXPECT_EQ(s.stop(), "");
  EXPECT_TRUE(s.machine->stopped());
  EXPECT_EQ(s.store(30), "");
  EXPECT_EQ(s.machine->wake_at(), std::nullopt);
}

}  // namespace
}  // namespace sluice::dispatch
