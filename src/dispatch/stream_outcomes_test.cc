#include <gtest/gtest.h>

#include <chrono>

#include "dispatch/stream_script.h"

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using catalog::StreamStatus;
using connectors::Delivered;
using connectors::Misconfigured;
using connectors::Rejected;
using connectors::RetryLater;

std::string refuse(Script& s, int status = 400) { return s.sent(Rejected{"no"}, status); }

// ---- Refused -----------------------------------------------------------------------------------

TEST(StreamOutcomes, ARefusedBatchIsHalvedUntilTheBadRecordIsAlone) {
  Script s;
  s.begin();
  EXPECT_EQ(s.store(10), "send 5-1-0-9 #1");
  EXPECT_EQ(refuse(s), "freeze 0-4");
  EXPECT_EQ(s.frozen(), "send 5-1-0-4 #1");
  EXPECT_EQ(refuse(s), "freeze 0-2");
  EXPECT_EQ(s.frozen(), "send 5-1-0-2 #1");
  EXPECT_EQ(s.delivered(), "freeze 3-4");
  EXPECT_EQ(s.frozen(), "send 5-1-3-4 #1");
  EXPECT_EQ(refuse(s), "freeze 3-3");
  EXPECT_EQ(s.frozen(), "send 5-1-3-3 #1");
  EXPECT_EQ(refuse(s, 422), "park 3-3");
  EXPECT_EQ(s.parking->status, 422);
  EXPECT_EQ(s.parking->reason, "no");
  EXPECT_EQ(s.parking->behind.cursor, Offset{4});
  EXPECT_EQ(s.parking->behind.parked, 1u);
  EXPECT_EQ(s.parking->behind.rejected_in_a_row, 1u);
  EXPECT_EQ(s.parked(), "freeze 4-4");
  EXPECT_EQ(s.frozen(), "send 5-1-4-4 #1");
  EXPECT_EQ(s.batch().previous, Offset{3}) << "a receiver can tell that something is missing";
  EXPECT_EQ(s.delivered(), "freeze 5-9");
  EXPECT_EQ(s.frozen(), "send 5-1-5-9 #1");
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.machine->delivered(), 9u);
  EXPECT_EQ(s.machine->parked_count(), 1u);
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.store(10), "send 5-1-10-19 #1") << "the next batch is whole again";
}

TEST(StreamOutcomes, AHalfThatIsRefusedKeepsItsSiblingsApart) {
  Script s;
  s.begin();
  s.store(8);
  s.frozen();
  EXPECT_EQ(refuse(s), "freeze 0-3");
  s.frozen();
  EXPECT_EQ(refuse(s), "freeze 0-1");
  s.store(10);
  s.frozen();
  EXPECT_EQ(s.delivered(), "freeze 2-3");
  s.frozen();
  EXPECT_EQ(s.delivered(), "freeze 4-7");
  s.frozen();
  EXPECT_EQ(s.delivered(), "send 5-1-8-17 #1");
}

TEST(StreamOutcomes, ARecordThatIsRefusedByTheParkingDiskIsTriedAgain) {
  Script s;
  s.begin();
  s.store(1);
  s.frozen();
  EXPECT_EQ(refuse(s), "park 0-0");
  EXPECT_EQ(s.parked(Error{ErrorCode::Io, "disk"}), "");
  EXPECT_NE(s.machine->last_error().find("dead letters cannot be stored"), std::string::npos);
  EXPECT_EQ(s.after(1s), "send 5-1-0-0 #2");
  EXPECT_EQ(refuse(s), "park 0-0");
  EXPECT_EQ(s.parked(), "");
  EXPECT_EQ(s.machine->last_error(), "");
}

TEST(StreamOutcomes, FullDeadLettersAreAnErrorAndTheRecordStays) {
  Script s;
  s.begin();
  s.store(1);
  s.frozen();
  refuse(s);
  EXPECT_EQ(s.parked(Error{ErrorCode::Conflict, "10,000 dead letters"}), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_EQ(s.machine->last_error(), "10,000 dead letters");
  EXPECT_EQ(s.command(Command::Restart), "send 5-1-0-0 #2");
}

TEST(StreamOutcomes, SoManyRefusedInARowAreAnErrorAndASuccessForgets) {
  DeliverySettings settings;
  settings.rejected_in_a_row = 2;
  Script s(settings, {1, 1 << 20});
  s.begin();
  s.store(6);
  refuse(s);
  EXPECT_EQ(s.parked(), "send 5-1-1-1 #1");
  EXPECT_EQ(s.delivered(), "send 5-1-2-2 #1");
  refuse(s);
  EXPECT_EQ(s.parked(), "send 5-1-3-3 #1");
  refuse(s);
  EXPECT_EQ(s.parked(), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_EQ(s.machine->cursor(), Offset{4}) << "what was parked stays parked";
  EXPECT_EQ(s.command(Command::Restart), "send 5-1-4-4 #1");
  refuse(s);
  EXPECT_EQ(s.parked(), "send 5-1-5-5 #1") << "restart counts anew";
}

TEST(StreamOutcomes, RefusedInARowIsCountedAcrossRestarts) {
  DeliverySettings settings;
  settings.rejected_in_a_row = 2;
  Script s(settings, {1, 1 << 20});
  s.begin();
  s.store(2);
  refuse(s);
  s.start.entry = s.parking->behind;
  EXPECT_EQ(s.begin(), "send 5-1-1-1 #1");
  refuse(s);
  s.parked();
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
}

TEST(StreamOutcomes, ZeroMeansNever) {
  DeliverySettings settings;
  settings.rejected_in_a_row = 0;
  Script s(settings, {1, 1 << 20});
  s.begin();
  s.store(300);
  for (int i = 0; i < 300; ++i) {
    refuse(s);
    s.parked();
  }
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.machine->parked_count(), 300u);
}

TEST(StreamOutcomes, HaltStopsAtTheRefusedRecordItself) {
  DeliverySettings settings;
  settings.halt_on_rejected = true;
  Script s(settings);
  s.begin();
  s.store(2);
  s.frozen();
  EXPECT_EQ(refuse(s), "freeze 0-0");
  s.frozen();
  EXPECT_EQ(refuse(s), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_NE(s.machine->last_error().find("offset 0"), std::string::npos);
  EXPECT_EQ(s.machine->parked_count(), 0u);
  EXPECT_EQ(s.skip(1, true), "park 0-0");
  EXPECT_EQ(s.parked(), "save 1");
  EXPECT_EQ(s.command(Command::Restart), "freeze 1-1");
}

TEST(StreamOutcomes, AfterTooLargeBatchesAreCutAtHalfAndGrowAgain) {
  Script s({}, {16, 1 << 20});
  s.begin();
  s.store(16);
  EXPECT_EQ(refuse(s, 413), "freeze 0-7");
  s.frozen();
  EXPECT_EQ(refuse(s, 413), "freeze 0-3");
  s.frozen();
  EXPECT_EQ(s.delivered(), "freeze 4-7");
  s.frozen();
  EXPECT_EQ(s.delivered(), "freeze 8-15") << "the other half, whatever the cut";
  s.frozen();
  EXPECT_EQ(refuse(s, 413), "freeze 8-11");
  s.frozen();
  EXPECT_EQ(s.delivered(), "freeze 12-15");
  s.frozen();
  s.store(4000);
  std::uint64_t at = 16;
  for (int batches = 1 + 1; batches < 100; ++batches, at += 4) {
    ASSERT_EQ(s.delivered(), fmt::format("freeze {}-{}", at, at + 3)) << batches;
    s.frozen();
  }
  EXPECT_EQ(s.delivered(), fmt::format("freeze {}-{}", at, at + 3)) << "gathered before";
  s.frozen();
  EXPECT_EQ(s.delivered(), fmt::format("freeze {}-{}", at + 4, at + 11));
}

TEST(StreamOutcomes, TheCutOutlivesAProcess) {
  Script s({}, {16, 1 << 20});
  s.begin();
  s.store(32);
  EXPECT_EQ(refuse(s, 413), "freeze 0-7");
  s.start.entry = s.freezing;
  EXPECT_EQ(s.begin(), "freeze 0-7");
  EXPECT_EQ(s.frozen(), "send 5-1-0-7 #1");
  EXPECT_EQ(s.delivered(), "freeze 8-15");
}

// ---- In part -----------------------------------------------------------------------------------

TEST(StreamOutcomes, WhatArrivedOfABatchIsNotSentAgain) {
  Script s;
  s.begin();
  s.store(10);
  EXPECT_EQ(s.sent(RetryLater{"slow down", {}, 4}, 200), "");
  EXPECT_EQ(s.machine->delivered(), 4u);
  EXPECT_EQ(s.machine->cursor(), Offset{4});
  EXPECT_EQ(s.after(8s), "save 4, freeze 4-9");
  EXPECT_EQ(s.frozen(), "send 5-1-4-9 #1");
  EXPECT_EQ(s.batch().previous, Offset{3});
  EXPECT_EQ(s.delivered(), "");
  EXPECT_EQ(s.machine->delivered(), 10u);
}

TEST(StreamOutcomes, ARecordThatIsNamedAsRefusedIsParkedAtOnce) {
  Script s;
  s.begin();
  s.store(10);
  EXPECT_EQ(s.sent(Rejected{"too long", 4}, 200), "park 4-4");
  EXPECT_EQ(s.machine->delivered(), 4u);
  EXPECT_EQ(s.parked(), "freeze 5-9");
  s.frozen();
  EXPECT_EQ(s.sent(Rejected{"too long", 0}, 200), "park 5-5");
  EXPECT_EQ(s.parked(), "freeze 6-9");
}

TEST(StreamOutcomes, WhatTheDestinationWouldLoseIsParkedAndCountsForNothing) {
  DeliverySettings settings;
  settings.rejected_in_a_row = 1;
  Script s(settings);
  s.begin();
  s.store(10);
  EXPECT_EQ(s.sent(connectors::SetAside{"too old", 2, 3}, 422), "park 2-4");
  EXPECT_EQ(s.machine->delivered(), 2u);
  EXPECT_EQ(s.parked(), "freeze 5-9");
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.machine->parked_count(), 3u);
  s.frozen();
  EXPECT_EQ(s.sent(connectors::SetAside{"too old", 0, 5}, 422), "park 5-9");
  s.parked();
  EXPECT_EQ(s.machine->cursor(), Offset{10});
}

TEST(StreamOutcomes, WhatWasSkippedIsNotCountedAsDelivered) {
  Script s;
  s.begin();
  s.store(10);
  s.sent_but(4, connectors::Delivered{});
  EXPECT_EQ(s.machine->delivered(), 6u);
  EXPECT_EQ(s.machine->skipped(), 4u);
  EXPECT_EQ(s.machine->cursor(), Offset{10});
  s.store(5);
  s.frozen();
  EXPECT_EQ(s.sent_but(1, connectors::SetAside{"too old", 3, 2}), "park 13-14");
  EXPECT_EQ(s.parking->behind.skipped, 5u);
  s.parked();
  EXPECT_EQ(s.machine->delivered(), 8u);
  EXPECT_EQ(s.machine->skipped(), 5u);
  Script after;
  after.start.entry = s.parking->behind;
  after.begin();
  EXPECT_EQ(after.machine->skipped(), 5u);
}

TEST(StreamOutcomes, WhatWasSkippedAltogetherSaysNothingOfTheDestination) {
  DeliverySettings settings;
  settings.rejected_in_a_row = 2;
  Script s(settings, {1, 1 << 20});
  s.begin();
  s.store(3);
  EXPECT_EQ(s.sent(connectors::Rejected{"no"}, 400), "park 0-0");
  s.parked();
  s.sent_but(1, connectors::Delivered{});
  EXPECT_EQ(s.machine->skipped(), 1u);
  EXPECT_EQ(s.machine->remote_status(), 400) << "of the last that was sent";
  EXPECT_EQ(s.sent(connectors::Rejected{"no"}, 400), "park 2-2");
  s.parked();
  EXPECT_EQ(s.machine->status(), StreamStatus::Error) << "two refused in a row";
}

// ---- Misconfigured -----------------------------------------------------------------------------

TEST(StreamOutcomes, MisconfiguredIsTriedAgainUntilTooManyInARow) {
  DeliverySettings settings;
  settings.misconfigured_in_a_row = 3;
  Script s(settings);
  s.begin();
  s.store(10);
  EXPECT_EQ(s.sent(Misconfigured{"401"}, 401), "");
  EXPECT_EQ(s.after(8s), "save 0, send 5-1-0-9 #2");
  s.saved();
  s.failed();
  EXPECT_EQ(s.after(16s), "save 0, send 5-1-0-9 #3") << "another failure counts anew";
  s.sent(Misconfigured{"401"}, 401);
  s.after(32s);
  s.sent(Misconfigured{"401"}, 401);
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  s.after(64s);
  s.saved();
  s.start.entry = s.saving;
  EXPECT_EQ(s.begin(), "send 5-1-0-9 #1") << "and goes on behind a restart";
  s.sent(Misconfigured{"401 who are you"}, 401);
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_NE(s.machine->last_error().find("401 who are you"), std::string::npos);
  EXPECT_EQ(s.command(Command::Restart), "send 5-1-0-9 #2");
  s.sent(Misconfigured{"401"}, 401);
  EXPECT_EQ(s.machine->status(), StreamStatus::Running) << "restart counts anew";
}

// ---- Whose fault it is ------------------------------------------------------------------------

TEST(StreamOutcomes, FaultsOfOursDoNotLeadToError) {
  DeliverySettings settings;
  settings.initial = settings.max = 10s;
  settings.error_after = 60s;
  Script s(settings);
  s.begin();
  s.store(10);
  s.failed();
  s.after(10s);
  for (int i = 0; i < 20; ++i) {
    s.sent(RetryLater{"our name server is down", {}, 0}, 502, false, Fault::Us);
    EXPECT_NE(s.after(10s), "") << "it is tried on";
  }
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  for (int i = 0; i < 5; ++i) {
    s.failed();
    s.after(10s);
  }
  EXPECT_EQ(s.machine->status(), StreamStatus::Error) << "10 s before, 50 s after";
}

// ---- Too old -----------------------------------------------------------------------------------

DeliverySettings with_max_age(std::chrono::seconds age) {
  DeliverySettings settings;
  settings.max_age = age;
  return settings;
}

TEST(StreamOutcomes, ABatchAgesOutWithItsNewestRecordAndIsCounted) {
  Script s(with_max_age(100s));
  s.options.created = s.options.wall();
  s.begin();
  EXPECT_EQ(s.store(10), "send 5-1-0-9 #1");
  s.failed();
  EXPECT_EQ(s.after(8s), "send 5-1-0-9 #2");
  s.failed();
  EXPECT_EQ(s.after(16s), "send 5-1-0-9 #3");
  s.failed();
  EXPECT_EQ(s.after(32s), "send 5-1-0-9 #4");
  s.failed();
  // The next would be at 120 s: one attempt comes within the timeout before the end instead.
  EXPECT_EQ(s.after(34s), "send 5-1-0-9 #5");
  s.failed();
  EXPECT_EQ(s.after(9s), "");
  EXPECT_EQ(s.machine->losses().aged_out, 0u);
  s.after(1s);
  EXPECT_EQ(s.machine->losses().aged_out, 10u);
  EXPECT_EQ(s.machine->cursor(), Offset{10});
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
}

// It was left out, as it would have had to begin before there was a batch.
TEST(StreamOutcomes, WhereATimeoutIsLongerThanTheAgeALastAttemptComesAllTheSame) {
  Script s(with_max_age(6s));
  s.options.created = s.options.wall();
  s.begin();
  EXPECT_EQ(s.store(10), "send 5-1-0-9 #1");
  s.failed();
  EXPECT_EQ(s.after(2s), "");
  EXPECT_EQ(s.after(1s), "send 5-1-0-9 #2");
  s.failed();
  EXPECT_EQ(s.after(2s), "") << "one attempt, not one after the other";
  s.after(1s);
  EXPECT_EQ(s.machine->losses().aged_out, 10u);
}

TEST(StreamOutcomes, RecordsOlderThanTheStreamCountFromItsCreation) {
  Script s(with_max_age(100s));
  s.lay(10);  // stored at 0
  s.options.created = s.options.wall();
  EXPECT_EQ(s.begin(), "send 5-1-0-9 #1");
}

TEST(StreamOutcomes, AgeRunsOnInAPause) {
  Script s(with_max_age(100s));
  s.options.created = s.options.wall();
  s.begin();
  s.command(Command::Pause);
  s.store(25);
  s.after(101s);
  EXPECT_EQ(s.machine->losses().aged_out, 0u);
  s.command(Command::Resume);
  EXPECT_EQ(s.machine->losses().aged_out, 25u);
  EXPECT_EQ(s.machine->delivered(), 0u);
}

// ---- Skip --------------------------------------------------------------------------------------

TEST(StreamOutcomes, SkipIsForPausedAndErrorAlone) {
  Script s;
  s.begin();
  s.store(3);
  EXPECT_EQ(s.skip(2, true), "refused");
  s.command(Command::Disable);
  EXPECT_EQ(s.skip(2, false), "refused");
}

TEST(StreamOutcomes, WhatIsSkippedIsDroppedAndCounted) {
  Script s;
  s.begin();
  s.command(Command::Pause);
  s.store(25);
  EXPECT_EQ(s.skip(12, false), "save 12");
  EXPECT_EQ(s.machine->dropped(), 12u);
  EXPECT_EQ(s.machine->start(), Offset{12}) << "the catalog knows before the caller";
  EXPECT_EQ(s.skip(5, false), "") << "that lies behind";
  EXPECT_EQ(s.command(Command::Resume), "send 5-1-12-21 #1");
}

TEST(StreamOutcomes, OfTwoSkipsDuringAnAttemptTheFurtherCounts) {
  Script s;
  s.begin();
  s.store(25);
  s.command(Command::Pause);
  s.skip(20, false);
  s.skip(5, false);
  EXPECT_EQ(s.machine->start(), Offset{20});
  s.failed();
  EXPECT_EQ(s.machine->cursor(), Offset{20});
  EXPECT_EQ(s.machine->dropped(), 20u);
}

TEST(StreamOutcomes, WhatArrivedOfTheLastAttemptBeforeASkipIsNotParked) {
  Script s;
  s.begin();
  s.store(10);
  s.command(Command::Pause);
  s.skip(8, true);
  EXPECT_EQ(s.sent(connectors::Rejected{"no", 3}, 400), "save 3, park 3-7");
  EXPECT_EQ(s.machine->delivered(), 3u);
  // Nor is it sent again should they not be stored.
  s.parked(Error{ErrorCode::Conflict, "10,000 dead letters"});
  s.command(Command::Resume);
  EXPECT_EQ(s.command(Command::Restart), "freeze 3-7");
}

TEST(StreamOutcomes, WhatArrivedBeforeItIsDisabledCountsAsDelivered) {
  Script s;
  s.begin();
  s.store(10);
  s.command(Command::Disable);
  s.sent(connectors::RetryLater{"503", {}, 4}, 503);
  EXPECT_EQ(s.machine->delivered(), 4u);
  EXPECT_EQ(s.machine->dropped(), 6u);
}

TEST(StreamOutcomes, WhatIsSkippedIsParkedBatchByBatch) {
  Script s;
  s.begin();
  s.command(Command::Pause);
  s.store(25);
  EXPECT_EQ(s.skip(12, true), "park 0-9");
  EXPECT_EQ(s.machine->park_to(), Offset{12});
  EXPECT_EQ(s.parking->status, std::nullopt);
  EXPECT_EQ(s.parked(), "save 10, park 10-11");
  EXPECT_EQ(s.parked(), "");
  EXPECT_EQ(s.machine->park_to(), std::nullopt);
  EXPECT_EQ(s.machine->parked_count(), 12u);
  EXPECT_EQ(s.machine->memory_bytes(), 0u);
  EXPECT_EQ(s.command(Command::Resume), "send 5-1-12-21 #1");
}

TEST(StreamOutcomes, DisabledWhileParkingStaysDisabledWhateverComesOfIt) {
  for (const ErrorCode code : {ErrorCode::Conflict, ErrorCode::Io}) {
    Script s;
    s.begin();
    s.command(Command::Pause);
    s.store(25);
    s.skip(25, true);
    s.command(Command::Disable);
    s.parked(Error{code, "no"});
    EXPECT_EQ(s.machine->status(), StreamStatus::Disabled);
    EXPECT_EQ(s.machine->dropped(), 25u);
    EXPECT_EQ(s.machine->last_error(), "");
  }
}

TEST(StreamOutcomes, FiltersThatChangeDuringAPartialDeliveryHoldFromItsEndOn) {
  Script s;
  s.options.settings.filter = only_types({1});
  s.options.settings.limits = {3, 1 << 20};
  s.store_types("112211");
  EXPECT_EQ(s.begin(), "send 5-1-0-4 #1");
  StreamMachine::Settings settings = s.options.settings;
  settings.filter = nullptr;
  settings.filter_revision = 1;
  s.change(settings);
  s.sent(RetryLater{"took a part", {}, 2}, 200);
  s.after(8s);
  s.frozen();
  EXPECT_EQ(s.sent_records(), "221") << "2 and 3 were not decided before";
}

TEST(StreamOutcomes, ParkingByCommandGoesOnInTheNextProcess) {
  Script s;
  s.begin();
  s.command(Command::Pause);
  s.store(25);
  s.skip(25, true);
  s.start.entry = s.parking->behind;
  s.start.status = StreamStatus::Paused;
  s.start.park_to = s.machine->park_to();
  EXPECT_EQ(s.begin(), "park 10-19");
  EXPECT_EQ(s.parked(), "park 20-24");
  EXPECT_EQ(s.parked(), "");
  EXPECT_EQ(s.machine->parked_count(), 25u);
}

TEST(StreamOutcomes, ParkingComesBeforeSendingWhenTheStreamIsResumed) {
  Script s;
  s.begin();
  s.command(Command::Pause);
  s.store(25);
  EXPECT_EQ(s.skip(15, true), "park 0-9");
  EXPECT_EQ(s.command(Command::Resume), "");
  EXPECT_EQ(s.parked(), "save 10, park 10-14");
  EXPECT_EQ(s.parked(), "send 5-1-15-24 #1");
}

TEST(StreamOutcomes, AnAttemptUnderWayStillCountsBeforeASkip) {
  Script s;
  s.begin();
  s.store(25);
  s.command(Command::Pause);
  EXPECT_EQ(s.skip(15, true), "");
  EXPECT_EQ(s.delivered(), "save 10, park 10-14");
  s.parked();
  EXPECT_EQ(s.machine->delivered(), 10u);
  EXPECT_EQ(s.machine->parked_count(), 5u);
}

TEST(StreamOutcomes, ABatchThatIsBeingFrozenIsNotParkedWhole) {
  for (const bool works : {true, false}) {
    Script s;
    s.begin();
    EXPECT_EQ(s.store(4), "freeze 0-3");
    s.command(Command::Pause);
    EXPECT_EQ(s.skip(2, true), "");
    if (works) {
      EXPECT_EQ(s.frozen(), "park 0-1");
    } else {
      s.freeze_failed();
      EXPECT_EQ(s.after(2s), "park 0-1");
    }
    s.parked();
    EXPECT_EQ(s.machine->parked_count(), 2u);
    EXPECT_EQ(s.command(Command::Resume), "freeze 2-3");
  }
}

TEST(StreamOutcomes, SkippedRecordsThatAreNotWantedArePassedOver) {
  Script s;
  s.options.settings.filter = only_types({1});
  s.begin();
  s.command(Command::Pause);
  s.store_types("1221222");
  EXPECT_EQ(s.skip(6, true), "park 0-3");
  EXPECT_EQ(s.parked(), "save 6");
  EXPECT_EQ(s.machine->park_to(), std::nullopt);
  EXPECT_EQ(s.machine->cursor(), Offset{6});
  EXPECT_EQ(s.machine->parked_count(), 2u);
}

}  // namespace
}  // namespace sluice::dispatch
