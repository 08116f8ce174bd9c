#include <fmt/format.h>
#include <gtest/gtest.h>

#include "dispatch/stream_script.h"

// The machine Disabled, with filters, and when its settings change.

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using catalog::StreamStatus;
using connectors::Gone;
using connectors::RetryLater;

// ---- Disabled ----------------------------------------------------------------------------------

TEST(StreamMachineDisabled, DropsAndCountsWhatIsUndeliveredAndWhatComes) {
  Script s;
  s.begin();
  s.store(25);
  EXPECT_EQ(s.command(Command::Disable), "cancel");
  EXPECT_EQ(s.machine->cursor(), Offset{0}) << "the attempt has not ended yet";
  EXPECT_EQ(s.sent(RetryLater{"cancelled", {}, 0}, 500, false), "save 25");
  EXPECT_EQ(s.machine->dropped(), 25u);
  EXPECT_EQ(s.machine->memory_bytes(), 0u);
  EXPECT_EQ(s.saved(), "");
  EXPECT_EQ(s.store(5), "");
  EXPECT_EQ(s.machine->cursor(), Offset{30});
  EXPECT_EQ(s.machine->wake_at(), s.now + 5s) << "one timer";
  EXPECT_EQ(s.after(5s), "save 30");
  s.saved();
  EXPECT_EQ(s.machine->wake_at(), std::nullopt);
  EXPECT_EQ(s.machine->delivered(), 0u);
  EXPECT_EQ(s.machine->dropped(), 30u);
  EXPECT_EQ(s.machine->last_error(), "");

  EXPECT_EQ(s.command(Command::Resume), "");
  EXPECT_EQ(s.machine->start(), Offset{30});
  EXPECT_EQ(s.store(10), "send 5-1-30-39 #1");
  EXPECT_EQ(s.batch().previous, std::nullopt);
}

TEST(StreamMachineDisabled, AbandonedAttemptThatWasDeliveredCounts) {
  Script s;
  s.begin();
  s.store(25);
  EXPECT_EQ(s.command(Command::Disable), "cancel");
  EXPECT_EQ(s.delivered(), "save 25");
  EXPECT_EQ(s.machine->delivered(), 10u);
  EXPECT_EQ(s.machine->dropped(), 15u);
}

TEST(StreamMachineDisabled, ResumedBeforeTheAttemptEndedStillDropsWhatWasThere) {
  Script s;
  s.begin();
  s.store(25);
  EXPECT_EQ(s.command(Command::Disable), "cancel");
  EXPECT_EQ(s.command(Command::Resume), "");
  EXPECT_EQ(s.store(4), "");
  EXPECT_EQ(s.sent(RetryLater{"cancelled", {}, 0}, 500, false), "save 25, freeze 25-28");
  EXPECT_EQ(s.machine->dropped(), 25u);
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
}

TEST(StreamMachineDisabled, BoundaryUnderWayIsTakenBackByTheNextSave) {
  Script s;
  s.begin();
  EXPECT_EQ(s.store(3), "freeze 0-2");
  EXPECT_EQ(s.command(Command::Disable), "");
  EXPECT_EQ(s.frozen(), "save 3");
  EXPECT_EQ(s.machine->dropped(), 3u);
}

TEST(StreamMachineDisabled, NextLifeGoesOnDroppingFromTheJournal) {
  Script s;
  s.lay(30);
  s.start.status = StreamStatus::Disabled;
  s.start.entry->kind = JournalEntry::Kind::Boundary;
  s.start.entry->last = Offset{9};
  s.start.entry->records = 10;
  s.start.entry->dropped = 7;
  EXPECT_EQ(s.begin(), "save 30");
  EXPECT_EQ(s.machine->dropped(), 37u);
  EXPECT_EQ(s.machine->cursor(), Offset{30});
}

// The catalog knew that it had left Disabled, the journal did not yet know how far it had dropped.
TEST(StreamMachineDisabled, NextLifeBeginsWhereItWasResumed) {
  Script s;
  s.lay(30);
  s.start.cursor = Offset{20};
  s.start.entry->kind = JournalEntry::Kind::Boundary;
  s.start.entry->last = Offset{9};
  s.start.entry->records = 10;
  EXPECT_EQ(s.begin(), "send 5-1-20-29 #1");
  EXPECT_EQ(s.machine->dropped(), 20u);
}

// ---- Filters -----------------------------------------------------------------------------------

TEST(StreamMachineFilters, BatchesHoldWhatPassesAndTheRestMovesTheCursor) {
  Script s({}, {3, 1 << 20});
  s.options.settings.filter = only_types({1, 2});
  s.begin();
  EXPECT_EQ(s.store_types("3312"), "freeze 2-3");
  EXPECT_EQ(s.machine->cursor(), Offset{2});
  EXPECT_EQ(s.store_types("3113"), "");
  EXPECT_EQ(s.frozen(), "send 5-1-2-3 #1");
  EXPECT_EQ(s.sent_records(), "12");
  EXPECT_EQ(s.store_types("2223"), "");
  EXPECT_EQ(s.delivered(), "send 5-1-5-8 #1");
  EXPECT_EQ(s.sent_records(), "112");
  EXPECT_EQ(s.batch().previous, Offset{3});
  EXPECT_EQ(s.delivered(), "freeze 9-10");
  EXPECT_EQ(s.frozen(), "send 5-1-9-10 #1");
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.machine->cursor(), Offset{12});
  EXPECT_EQ(s.machine->delivered(), 7u);
  EXPECT_EQ(s.after(100ms), "save 12");
  s.saved();
  EXPECT_EQ(s.store_types("3333"), "");
  EXPECT_EQ(s.machine->cursor(), Offset{16});
  EXPECT_EQ(s.machine->oldest_stored(), std::nullopt);
  EXPECT_EQ(s.after(4999ms), "") << "passing over costs no write at once";
  EXPECT_EQ(s.after(1ms), "save 16");
  s.saved();
  EXPECT_EQ(s.store_types("1"), "freeze 16-16");
  EXPECT_EQ(s.freezing->previous, Offset{10}) << "the batch before, not the record before";
}

TEST(StreamMachineFilters, FrozenBatchIsReadAgainWithTheSameRecords) {
  Script s;
  s.options.settings.filter = only_types({1});
  s.store_types("2121331");
  s.store_types("1112");
  s.start.entry->kind = JournalEntry::Kind::Boundary;
  s.start.entry->cursor = Offset{1};
  s.start.entry->last = Offset{7};
  s.start.entry->records = 4;
  EXPECT_EQ(s.begin(), "freeze 1-7");
  EXPECT_EQ(s.frozen(), "send 5-1-1-7 #1");
  EXPECT_EQ(s.sent_records(), "1111");
  EXPECT_EQ(s.delivered(), "freeze 8-9");
}

TEST(StreamMachineFilters, EveryRecordIsAskedAboutOnce) {
  Script s({}, {2, 1 << 20});
  s.options.settings.filter = only_types({1});
  Batch batch;
  ChunkPart part{make_chunk(kOrganisation, Kind::Event, Offset{0}, {}, {"1", "1", "1", "2", "1"}),
                 0, 5};
  const Selection selection(s.options.stream, s.options.settings.filter, &s.evaluator);
  selection.take(batch, part, {2, 1000});
  EXPECT_EQ(part.begin, 2u);
  EXPECT_EQ(part.known, 2u) << "no further than the batch had room";
  EXPECT_TRUE(batch.full);
  Batch second;
  selection.take(second, part, {3, 1000});
  EXPECT_EQ(second.records.records, 2u);
  EXPECT_EQ(second.records.first, Offset{2});
  EXPECT_EQ(second.records.last, Offset{4});
  EXPECT_FALSE(second.full);
  EXPECT_TRUE(part.empty());
}

TEST(StreamMachineFilters, BatchThatTakesLittleDoesNotHoldTheWholeChunk) {
  Script s;
  s.options.settings.filter = only_types({1});
  s.begin();
  std::vector<std::string> records(1000, "2" + std::string(99, 'x'));
  records[17] = "1 first";
  records[18] = "1 second";
  records[900] = "1 third";
  s.log.store(kOrganisation, Kind::Event, records, WallTime{77});
  EXPECT_EQ(s.store(0), "freeze 17-900");
  EXPECT_LT(s.machine->memory_bytes(), 2000u);
  EXPECT_EQ(s.machine->oldest_stored(), WallTime{77});
  EXPECT_EQ(s.frozen(), "send 5-1-17-900 #1");
  ASSERT_EQ(s.batch().runs.size(), 2u);
  EXPECT_EQ(s.batch().runs[0].joined(), "1 first,1 second");
  EXPECT_EQ(s.batch().runs[0].chunk->record(1), "1 second");
  EXPECT_EQ(s.batch().runs[0].chunk->first, Offset{17});
  EXPECT_EQ(s.batch().runs[0].chunk->columns[0].type_id, 1);
  EXPECT_EQ(s.batch().runs[1].joined(), "1 third");
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.machine->memory_bytes(), 0u);
}

// ---- Change of settings ------------------------------------------------------------------------

TEST(StreamMachineChange, OtherFilterOrRenderingLetsTheFrozenBatchGo) {
  for (const bool filter : {true, false}) {
    Script s;
    s.begin();
    EXPECT_EQ(s.store_types("12"), "freeze 0-1");
    s.frozen();
    s.failed();
    StreamMachine::Settings settings = s.options.settings;
    if (filter) {
      settings.filter = only_types({2});
      settings.filter_revision = 1;
      EXPECT_EQ(s.change(settings), "") << "the back-off goes on";
      EXPECT_EQ(s.after(8s), "save 1, freeze 1-1");
      EXPECT_EQ(s.freezing->filter_revision, 1u);
      EXPECT_EQ(s.freezing->revision, 2u);
      EXPECT_EQ(s.frozen(), "send 5-2-1-1 #1");
    } else {
      settings.limits.records_max = 1;
      settings.render_revision = 2;
      EXPECT_EQ(s.change(settings), "");
      EXPECT_EQ(s.after(8s), "freeze 0-0");
      EXPECT_EQ(s.frozen(), "send 5-2-0-0 #1");
      EXPECT_EQ(s.delivered(), "send 5-2-1-1 #1") << "the journal knows by now";
    }
  }
}

TEST(StreamMachineChange, OtherSettingsKeepTheFrozenBatch) {
  Script s;
  s.begin();
  EXPECT_EQ(s.store(3), "freeze 0-2");
  s.frozen();
  s.failed();
  StreamMachine::Settings settings = s.options.settings;
  settings.delivery.initial = 1s;
  EXPECT_EQ(s.change(settings), "");
  EXPECT_EQ(s.after(8s), "send 5-1-0-2 #2");
  s.failed();
  EXPECT_EQ(s.machine->next_attempt(), s.now + 2s);
}

TEST(StreamMachineChange, AttemptUnderWayEndsUnderTheOldSettings) {
  for (const bool succeeds : {true, false}) {
    Script s;
    s.begin();
    EXPECT_EQ(s.store(3), "freeze 0-2");
    s.frozen();
    StreamMachine::Settings settings = s.options.settings;
    settings.render_revision = 2;
    EXPECT_EQ(s.change(settings, true), "");
    EXPECT_EQ(s.machine->settings_revision(), 0u) << "not yet";
    settings.render_revision = 3;
    EXPECT_EQ(s.change(settings), "") << "still: where the records go has changed too";
    EXPECT_EQ(s.store(1), "");
    if (succeeds) {
      EXPECT_EQ(s.delivered(), "freeze 3-3");
      EXPECT_EQ(s.freezing->revision, 2u);
    } else {
      EXPECT_EQ(s.sent(Gone{"410"}, 410), "freeze 0-3");
      EXPECT_EQ(s.machine->status(), StreamStatus::Running);
      EXPECT_EQ(s.machine->last_error(), "");
    }
    EXPECT_EQ(s.freezing->render_revision, 3u);
    EXPECT_EQ(s.machine->settings_revision(), 2u);
  }
}

TEST(StreamMachineChange, BoundaryUnderWayIsAwaitedAndThenLetGo) {
  Script s;
  s.begin();
  EXPECT_EQ(s.store(3), "freeze 0-2");
  StreamMachine::Settings settings = s.options.settings;
  settings.limits.records_max = 2;
  settings.render_revision = 2;
  EXPECT_EQ(s.change(settings), "");
  EXPECT_EQ(s.frozen(), "freeze 0-1");
  EXPECT_EQ(s.frozen(), "send 5-2-0-1 #1");
}

TEST(StreamMachineChange, BatchCutAnewIsTriedBeforeTheStreamGivesUp) {
  Script s;
  s.options.settings.delivery.error_after = std::chrono::seconds(60);
  s.begin();
  EXPECT_EQ(s.store_types("1"), "freeze 0-0");
  s.frozen();
  s.failed();
  StreamMachine::Settings settings = s.options.settings;
  settings.filter = only_types({2});
  settings.filter_revision = 1;
  EXPECT_EQ(s.change(settings), "");
  s.after(Milliseconds(1'000'000));
  EXPECT_EQ(s.store_types("2"), "freeze 1-1");
  EXPECT_EQ(s.frozen(), "send 5-2-1-1 #1");
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  s.failed();
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
}

TEST(StreamMachineChange, NewDestinationEndsErrorAndNothingElse) {
  using enum StreamStatus;
  for (const StreamStatus status : {Running, Paused, Error, Disabled}) {
    for (const bool new_destination : {true, false}) {
      for (const bool next_life : {true, false}) {
        Script s;
        s.start.status = status;
        s.start.before_pause = Error;
        s.start.last_error = "refused";
        s.lay(10);
        if (next_life) {
          s.start.new_destination = new_destination;
          s.begin();
        } else {
          s.begin();
          s.change(s.options.settings, new_destination);
        }
        const bool goes_on = status == Error && new_destination;
        EXPECT_EQ(s.machine->status(), goes_on ? Running : status);
        EXPECT_EQ(s.machine->before_pause(), Error);
        EXPECT_EQ(s.machine->last_error(), goes_on ? "" : "refused");
        EXPECT_EQ(s.sending != nullptr, goes_on || status == Running);
      }
    }
  }
}

TEST(StreamMachineChange, SettingsThatBecomeUsableAreAllThatWasMissing) {
  Script s;
  s.options.settings.unusable = "no such type";
  s.lay(10);
  s.begin();
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_EQ(s.machine->kept_status(), StreamStatus::Running) << "nor does the next life need more";
  EXPECT_EQ(s.command(Command::Resume), "refused");
  StreamMachine::Settings settings = s.options.settings;
  settings.unusable = "";
  EXPECT_EQ(s.change(settings), "send 5-1-0-9 #1");
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.machine->last_error(), "");
  s.delivered();
  EXPECT_EQ(s.change(s.options.settings), "");
  EXPECT_EQ(s.machine->last_error(), "no such type");
}

// ---- Another stream takes its place ---

TEST(HandOver, AwaitsTheAttemptUnderWayAndBeginsNoOther) {
  Script s;
  s.begin();
  s.store(25);
  EXPECT_EQ(s.close(), "");
  EXPECT_FALSE(s.machine->closed());
  EXPECT_EQ(s.delivered(), "save 10");
  EXPECT_FALSE(s.machine->closed());
  EXPECT_EQ(s.saved(), "");
  EXPECT_TRUE(s.machine->closed());
  EXPECT_EQ(s.machine->cursor(), Offset{10});
  EXPECT_EQ(s.machine->in_doubt(), std::nullopt);
  EXPECT_EQ(s.machine->wake_at(), std::nullopt);
  // It does not come about: the stream goes on.
  EXPECT_EQ(s.reopen(), "save 10, send 5-1-10-19 #1");
}

TEST(HandOver, WhatTheJournalRefusedIsSavedWhenTheServerStopsMeanwhile) {
  Script s;
  s.begin();
  s.store(10);
  s.close();
  EXPECT_EQ(s.delivered(), "save 10");
  EXPECT_EQ(s.save_failed(), "");
  EXPECT_TRUE(s.machine->closed());
  EXPECT_EQ(s.stop(), "save 10");
}

TEST(HandOver, AnAnswerThatWasLostLeavesItsRecordsInDoubt) {
  Script s;
  s.begin();
  s.store(10);
  s.sent(connectors::RetryLater{"timed out", {}, 0}, 504, false);
  EXPECT_EQ(s.machine->in_doubt(), std::pair(Offset{0}, Offset{9}));
  s.after(Milliseconds{8000});
  // Later failures leave the doubt as it is, a part that arrived narrows it.
  s.sent(connectors::RetryLater{"no connection", {}, 0}, 502, false, Fault::Network);
  EXPECT_EQ(s.machine->in_doubt(), std::pair(Offset{0}, Offset{9}));
  s.after(Milliseconds{16'000});
  s.sent(connectors::RetryLater{"503", {}, 4}, 503);
  EXPECT_EQ(s.machine->in_doubt(), std::pair(Offset{4}, Offset{9}));
  s.after(Milliseconds{8000});
  s.frozen();
  s.delivered();
  EXPECT_EQ(s.machine->in_doubt(), std::nullopt);
}

TEST(HandOver, WhereNoConnectionCameAboutNothingIsInDoubt) {
  Script s;
  s.begin();
  s.store(10);
  s.sent(connectors::RetryLater{"refused", {}, 0}, 502, false, Fault::Network);
  EXPECT_EQ(s.machine->in_doubt(), std::nullopt);
  s.after(Milliseconds{8000});
  s.failed();
  EXPECT_EQ(s.machine->in_doubt(), std::nullopt);
}

TEST(HandOver, WhatAProcessBeforeMayHaveSentIsInDoubt) {
  Script s;
  s.lay(10);
  s.start.entry = Script::cursor_at(Offset{2});
  s.start.entry->kind = JournalEntry::Kind::Boundary;
  s.start.entry->last = Offset{6};
  s.start.entry->records = 5;
  s.begin();
  EXPECT_EQ(s.machine->in_doubt(), std::pair(Offset{2}, Offset{6}));
}

}  // namespace
}  // namespace sluice::dispatch
