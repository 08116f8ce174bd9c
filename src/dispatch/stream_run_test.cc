#include <gtest/gtest.h>

#include <chrono>

#include "dispatch/stream_script.h"

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using catalog::StreamStatus;
using connectors::Delivered;
using connectors::Gone;
using connectors::Misconfigured;
using connectors::Rejected;
using connectors::RetryLater;
using connectors::SetAside;

DeliverySettings parallel(std::uint32_t requests) {
  DeliverySettings settings;
  settings.parallel = requests;
  return settings;
}

// A run of these devices' records is on its way, as far as it may be.
struct Running : Script {
  Running(std::string_view devices, DeliverySettings delivery,
          connectors::BatchLimits limits = {10, 1 << 20})
      : Script(delivery, limits) {
    store_devices(devices);
    begin();
    began = frozen();
  }
  std::string refuse(std::uint64_t first, int status = 400) {
    return answer(first, Rejected{"no"}, status);
  }
  std::string began;
};

// ---- Which requests go out ---------------------------------------------------------------------

TEST(StreamRun, DevicesGoBesideEachOtherEachInOrder) {
  Running s("abacab", parallel(2), {2, 1 << 20});
  EXPECT_EQ(s.freezing->cursor, Offset{0});
  EXPECT_EQ(s.freezing->last, Offset{5});
  EXPECT_EQ(s.freezing->records, 6u);
  EXPECT_EQ(s.began, "send 5-1-0-2 #1, send 5-1-1-5 #1") << "two of a, both of b; c waits";
  EXPECT_EQ(s.under_way.at(0)->records, 2u);
  EXPECT_TRUE(s.under_way.at(0)->beside_others);
  EXPECT_EQ(s.delivered(0), "send 5-1-4-4 #1") << "a goes on";
  EXPECT_EQ(s.delivered(1), "send 5-1-3-3 #1") << "the turn is c's";
  EXPECT_EQ(s.machine->cursor(), Offset{0}) << "not all is settled";
  EXPECT_EQ(s.machine->delivered(), 4u);
  EXPECT_EQ(s.delivered(3), "");
  EXPECT_EQ(s.delivered(4), "");
  EXPECT_EQ(s.machine->cursor(), Offset{6});
  EXPECT_EQ(s.machine->delivered(), 6u);
  EXPECT_EQ(s.store_devices("a"), "freeze 6-6");
  EXPECT_EQ(s.frozen(), "send 5-1-6-6 #1");
  EXPECT_EQ(s.batch().previous, Offset{5});
}

TEST(StreamRun, OneDeviceIsSentOneRequestAtATime) {
  Running s("aaaaa", parallel(64), {2, 1 << 20});
  EXPECT_EQ(s.began, "send 5-1-0-1 #1");
  EXPECT_EQ(s.delivered(0), "send 5-1-2-3 #1");
  EXPECT_EQ(s.delivered(2), "send 5-1-4-4 #1");
  EXPECT_EQ(s.delivered(4), "");
  EXPECT_EQ(s.machine->cursor(), Offset{5});
}

TEST(StreamRun, WithoutADeviceRecordsAreTheOrganisations) {
  Script s(parallel(8), {1, 1 << 20});
  s.lay(2);
  s.store_devices("a");
  s.begin();
  EXPECT_EQ(s.frozen(), "send 5-1-0-0 #1, send 5-1-2-2 #1");
}

TEST(StreamRun, ARequestKeepsTheByteBound) {
  Running s("aaa", parallel(2), {10, 25});  // two records of ten with their commas
  EXPECT_EQ(s.began, "send 5-1-0-1 #1");
  EXPECT_EQ(s.delivered(0), "send 5-1-2-2 #1");
}

TEST(StreamRun, ARunEndsAtAThousandRecordsAndTheNextWaitsForAllOfIt) {
  Script s(parallel(2), {5000, 1 << 20});
  s.begin();
  s.store_devices(std::string(999, 'a') + "bc" + std::string(2000, 'a'));
  EXPECT_EQ(s.freezing, std::nullopt) << "it follows from the cursor";
  EXPECT_EQ(s.under_way.at(0)->records, 999u);
  EXPECT_EQ(s.under_way.at(999)->last, Offset{999});
  EXPECT_EQ(s.delivered(0), "");
  EXPECT_EQ(s.delivered(999), "send 5-1-1000-1000 #1, send 5-1-1001-1999 #1");
}

TEST(StreamRun, AnIntervalHoldsForEachRequest) {
  DeliverySettings settings = parallel(3);
  settings.interval = 500ms;
  Running s("abc", settings);
  EXPECT_EQ(s.began, "send 5-1-0-0 #1");
  EXPECT_EQ(s.after(499ms), "");
  EXPECT_EQ(s.after(1ms), "send 5-1-1-1 #1");
  EXPECT_EQ(s.after(500ms), "send 5-1-2-2 #1");
}

// ---- Passed over, or set aside -----------------------------------------------------------------

TEST(StreamRun, WhatWasSkippedIsCountedAndSettled) {
  Running s("aabbc", parallel(2));
  s.answer_but(0, 1, Delivered{});
  EXPECT_EQ(s.machine->delivered(), 1u);
  EXPECT_EQ(s.machine->skipped(), 1u);
  EXPECT_EQ(s.answer_but(2, 2, Delivered{}), "") << "c is under way";
  EXPECT_EQ(s.machine->skipped(), 3u);
  EXPECT_EQ(s.machine->cursor(), Offset{0});
  s.delivered(4);
  EXPECT_EQ(s.machine->cursor(), Offset{5});
  EXPECT_EQ(s.machine->delivered(), 2u);
  EXPECT_EQ(s.machine->skipped(), 3u);
}

TEST(StreamRun, ADeviceOfWhichAllIsSkippedSaysNothingOfTheDestination) {
  Running s("ab", parallel(2));
  s.failed(0);
  ASSERT_TRUE(s.machine->failing());
  s.answer_but(1, 1, Delivered{});
  EXPECT_TRUE(s.machine->failing());
  EXPECT_EQ(s.machine->remote_status(), 503);
}

TEST(StreamRun, WhatIsSetAsideIsParkedTogetherAndCountsForNothing) {
  DeliverySettings settings = parallel(2);
  settings.rejected_in_a_row = 1;
  settings.halt_on_rejected = true;
  Running s("aabaab", settings);
  EXPECT_EQ(s.began, "send 5-1-0-4 #1, send 5-1-2-5 #1");
  EXPECT_EQ(s.answer_but(0, 1, SetAside{"too old", 1, 2}), "park 1-3");
  EXPECT_EQ(s.parking->records->records, 2u);
  EXPECT_EQ(s.parking->status, std::nullopt);
  EXPECT_EQ(s.parking->behind.rejected_in_a_row, 0u);
  EXPECT_EQ(s.parking->ahead.counts(), (SettledAhead::Counts{.parked = 2, .skipped = 1}));
  EXPECT_EQ(s.parked(), "send 5-1-4-4 #1") << "what lies behind goes on";
  EXPECT_EQ(s.answer_but(2, 0, SetAside{"too old", 0, 2}), "park 2-5");
  s.parked();
  s.delivered(4);
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  EXPECT_EQ(s.machine->cursor(), Offset{6});
  EXPECT_EQ(s.machine->parked_count(), 4u);
  EXPECT_EQ(s.machine->delivered(), 1u);
  EXPECT_EQ(s.machine->skipped(), 1u);
}

TEST(StreamRun, WhatWasSetAsideIsNotLookedAtAgainAfterACrash) {
  Running s("aab", parallel(2));
  s.answer_but(0, 0, SetAside{"too old", 0, 2});
  Script after(parallel(2));
  after.store_devices("aab");
  after.start.entry = s.parking->behind;
  after.start.ahead = s.parking->ahead;
  after.begin();
  EXPECT_EQ(after.frozen(), "send 5-1-2-2 #1");
}

// ---- Failures ----------------------------------------------------------------------------------

TEST(StreamRun, ADeviceThatFailsWaitsAloneAndIsSentAgainAsItWas) {
  Running s("abcaa", parallel(2));
  EXPECT_EQ(s.began, "send 5-1-0-4 #1, send 5-1-1-1 #1");
  EXPECT_EQ(s.failed(0), "");
  EXPECT_EQ(s.delivered(1), "send 5-1-2-2 #1");
  EXPECT_EQ(s.delivered(2), "");
  EXPECT_EQ(s.machine->memory_bytes(), 0u) << "nothing goes out within a second";
  EXPECT_EQ(s.after(8s), "send 5-1-0-4 #2");
  EXPECT_EQ(s.sent_records(), "@@@");
  EXPECT_EQ(s.failed(0), "");
  EXPECT_EQ(s.after(15s), "");
  EXPECT_EQ(s.after(1s), "send 5-1-0-4 #3") << "its own failures count";
  EXPECT_EQ(s.delivered(0), "save 5");
}

TEST(StreamRun, WhatTheReceiverAsksForHoldsForAll) {
  Running s("abc", parallel(2));
  EXPECT_EQ(s.answer(0, RetryLater{"busy", 60s, 0}, 429), "");
  EXPECT_EQ(s.delivered(1), "") << "c would be its turn";
  EXPECT_EQ(s.after(59s), "");
  EXPECT_EQ(s.after(1s), "send 5-1-0-0 #2, send 5-1-2-2 #1");
}

TEST(StreamRun, APartThatArrivedIsNotSentAgain) {
  Running s("aaaab", parallel(2));
  EXPECT_EQ(s.answer(0, RetryLater{"took two", {}, 2}, 200), "");
  EXPECT_EQ(s.machine->delivered(), 2u);
  EXPECT_EQ(s.delivered(4), "");
  EXPECT_EQ(s.after(8s), "send 5-1-2-3 #1");
  EXPECT_EQ(s.delivered(2), "save 5");
  EXPECT_EQ(s.machine->delivered(), 5u);
}

TEST(StreamRun, AFewAttemptsAtATimeAreNoRowOfMisconfiguredOnes) {
  DeliverySettings settings = parallel(4);
  settings.misconfigured_in_a_row = 2;
  Running s("abcd", settings);
  for (std::uint64_t first = 0; first < 4; ++first) s.answer(first, Misconfigured{"401"}, 401);
  EXPECT_EQ(s.machine->status(), StreamStatus::Running);
  s.after(8s);
  s.answer(0, Misconfigured{"401"}, 401);
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  s.answer(1, Gone{"410"}, 410);
  EXPECT_NE(s.machine->last_error().find("401"), std::string::npos) << "the first reason stays";
  EXPECT_EQ(s.delivered(2), "") << "and what was under way still counts";
  EXPECT_EQ(s.machine->delivered(), 1u);
}

TEST(StreamRun, GoneIsAnErrorAndRestartSendsWhatIsLeft) {
  Running s("abc", parallel(2));
  EXPECT_EQ(s.answer(0, Gone{"410"}, 410), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_EQ(s.delivered(1), "") << "c does not begin";
  EXPECT_EQ(s.command(Command::Restart), "send 5-1-0-0 #2, send 5-1-2-2 #1");
}

TEST(StreamRun, NoSuccessForTooLongIsAnErrorAlsoWithAttemptsUnderWay) {
  DeliverySettings settings = parallel(2);
  settings.error_after = 60s;
  Running s("ab", settings);
  s.failed(0);
  s.after(8s);
  s.after(52s);
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
}

// ---- Refused -----------------------------------------------------------------------------------

TEST(StreamRun, ARefusedRequestIsHalvedInItsLane) {
  Running s("aabaa", parallel(2));
  EXPECT_EQ(s.began, "send 5-1-0-4 #1, send 5-1-2-2 #1");
  EXPECT_EQ(s.refuse(0), "send 5-1-0-1 #1");
  EXPECT_EQ(s.delivered(0), "send 5-1-3-4 #1");
  EXPECT_EQ(s.refuse(3), "send 5-1-3-3 #1");
  EXPECT_EQ(s.refuse(3, 422), "park 3-3");
  EXPECT_EQ(s.parking->status, 422);
  EXPECT_EQ(s.parking->behind.cursor, Offset{0}) << "the cursor stays in front of the run";
  EXPECT_EQ(s.parking->behind.last, Offset{4});
  EXPECT_EQ(s.parking->behind.parked, 0u);
  EXPECT_EQ(s.parking->behind.rejected_in_a_row, 1u);
  EXPECT_TRUE(s.parking->ahead.contains(Offset{0}));
  EXPECT_TRUE(s.parking->ahead.contains(Offset{3}));
  EXPECT_FALSE(s.parking->ahead.contains(Offset{2}));
  EXPECT_EQ(s.parked(), "send 5-1-4-4 #1");
  EXPECT_EQ(s.machine->parked_count(), 1u);
  EXPECT_EQ(s.delivered(4), "");
  EXPECT_EQ(s.delivered(2), "");
  EXPECT_EQ(s.machine->cursor(), Offset{5});
  EXPECT_EQ(s.machine->delivered(), 4u);
  EXPECT_EQ(s.machine->parked_count(), 1u);
}

TEST(StreamRun, DeadLettersAreStoredOneAfterTheOther) {
  Running s("abc", parallel(3));
  EXPECT_EQ(s.refuse(0), "park 0-0");
  EXPECT_EQ(s.refuse(1), "");
  EXPECT_EQ(s.delivered(2), "");
  EXPECT_EQ(s.parked(), "park 1-1");
  EXPECT_TRUE(s.parking->ahead.contains(Offset{0}));
  EXPECT_TRUE(s.parking->ahead.contains(Offset{2}));
  EXPECT_EQ(s.parked(), "");
  EXPECT_EQ(s.machine->cursor(), Offset{3});
  EXPECT_EQ(s.machine->parked_count(), 2u);
}

TEST(StreamRun, ADiskThatFailsToParkHasTheRecordTriedAgain) {
  Running s("ab", parallel(2));
  s.refuse(0);
  EXPECT_EQ(s.parked(Error{ErrorCode::Io, "disk"}), "");
  EXPECT_EQ(s.delivered(1), "");
  EXPECT_EQ(s.after(1s), "send 5-1-0-0 #2");
  s.refuse(0);
  EXPECT_EQ(s.parked(Error{ErrorCode::Conflict, "10,000 dead letters"}), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_EQ(s.machine->last_error(), "10,000 dead letters");
}

TEST(StreamRun, RefusedAloneInARowCountAcrossDevices) {
  DeliverySettings settings = parallel(3);
  settings.rejected_in_a_row = 2;
  Running s("abcd", settings);
  s.refuse(0);
  s.parked();
  s.refuse(1);
  s.parked();
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_EQ(s.machine->parked_count(), 2u) << "what was parked stays parked";
}

TEST(StreamRun, OneRefusedForGoodHalts) {
  DeliverySettings settings = parallel(2);
  settings.halt_on_rejected = true;
  Running s("ab", settings);
  EXPECT_EQ(s.refuse(1), "");
  EXPECT_EQ(s.machine->status(), StreamStatus::Error);
  EXPECT_NE(s.machine->last_error().find("offset 1"), std::string::npos);
}

TEST(StreamRun, TooLargeIsHalvedAndTheNextRunsRequestsAreSmaller) {
  Running s("aaaab", parallel(2), {4, 1 << 20});
  EXPECT_EQ(s.refuse(0, 413), "send 5-1-0-1 #1");
  s.delivered(0);
  s.delivered(2);
  s.delivered(4);
  s.store_devices("aaaa");
  EXPECT_EQ(s.freezing->cut_records, 2u);
  EXPECT_EQ(s.frozen(), "send 5-1-5-6 #1");
}

// ---- Commands and changes ----------------------------------------------------------------------

TEST(StreamRun, APauseEndsAfterTheRequestsUnderWay) {
  Running s("abcd", parallel(2));
  s.command(Command::Pause);
  EXPECT_EQ(s.delivered(0), "");
  EXPECT_EQ(s.failed(1), "");
  EXPECT_EQ(s.machine->memory_bytes(), 0u);
  EXPECT_EQ(s.command(Command::Resume), "send 5-1-2-2 #1") << "the other waits for its back-off";
}

TEST(StreamRun, DisablingBreaksOffAndDropsWhatIsNotSettled) {
  Running s("abcd", parallel(3));
  s.delivered(1);
  EXPECT_EQ(s.command(Command::Disable), "cancel");
  EXPECT_EQ(s.delivered(0), "") << "its answer came first";
  s.answer(2, RetryLater{"cancelled", {}, 0}, 0, false);
  s.answer(3, RetryLater{"cancelled", {}, 0}, 0, false);
  EXPECT_EQ(s.machine->delivered(), 2u);
  EXPECT_EQ(s.machine->dropped(), 2u);
  EXPECT_EQ(s.machine->cursor(), Offset{4});
}

TEST(StreamRun, SkippingParksWhatIsNotSettled) {
  Running s("abcd", parallel(4));
  s.delivered(0);
  s.delivered(2);
  s.answer(1, Gone{"410"}, 410);
  s.failed(3);
  EXPECT_EQ(s.skip(3, true), "park 1-1") << "0 and 2 have arrived";
  EXPECT_EQ(s.parking->behind.delivered, 1u);
  EXPECT_EQ(s.parked(), "save 3");
  EXPECT_EQ(s.machine->delivered(), 2u);
  EXPECT_EQ(s.machine->parked_count(), 1u);
  EXPECT_EQ(s.command(Command::Restart), "freeze 3-3");
}

TEST(StreamRun, WhatIsToBeDroppedDoesNotBeginMeanwhile) {
  Running s("abc", parallel(2));
  s.command(Command::Pause);
  s.skip(3, false);
  EXPECT_EQ(s.command(Command::Resume), "");
  EXPECT_EQ(s.delivered(0), "");
  EXPECT_EQ(s.delivered(1), "save 3");
  EXPECT_EQ(s.machine->dropped(), 1u);
}

TEST(StreamRun, ACommandToSkipAwaitsTheRequestsUnderWay) {
  Running s("ab", parallel(2));
  s.command(Command::Pause);
  EXPECT_EQ(s.skip(2, true), "");
  EXPECT_EQ(s.delivered(1), "");
  EXPECT_EQ(s.refuse(0), "park 0-0");
  EXPECT_EQ(s.parking->behind.cursor, Offset{1});
}

TEST(StreamRun, CutAnewItDoesNotRepeatWhatIsSettled) {
  Running s("abab", parallel(2));
  s.failed(1);
  s.delivered(0);
  StreamMachine::Settings settings = s.options.settings;
  ++settings.render_revision;
  EXPECT_EQ(s.change(settings, true), "freeze 0-3");
  EXPECT_EQ(s.freezing->records, 4u);
  EXPECT_EQ(s.frozen(), "send 5-2-1-3 #1");
  s.delivered(1);
  EXPECT_EQ(s.machine->cursor(), Offset{4});
  EXPECT_EQ(s.machine->delivered(), 4u);
}

TEST(StreamRun, ARequestDoesNotSpanWhatIsSettled) {
  Script s(parallel(2));
  s.options.settings.filter = only_types({1});
  s.store_types("1211");  // of no device: the organisation's
  s.begin();
  EXPECT_EQ(s.frozen(), "send 5-1-0-3 #1");
  s.answer(0, RetryLater{"took two", {}, 2}, 200);
  StreamMachine::Settings settings = s.options.settings;
  settings.filter = only_types({1, 2});
  ++settings.filter_revision;
  EXPECT_EQ(s.change(settings), "freeze 0-3");
  EXPECT_EQ(s.after(8s), "") << "first it is frozen";
  EXPECT_EQ(s.frozen(), "send 5-2-1-1 #1");
  EXPECT_EQ(s.delivered(1), "send 5-2-3-3 #1");
  EXPECT_EQ(s.delivered(3), "");
  EXPECT_EQ(s.machine->delivered(), 4u);
}

TEST(StreamRun, AChangeAwaitsTheRequestsUnderWay) {
  Running s("abc", parallel(2));
  StreamMachine::Settings settings = s.options.settings;
  settings.delivery.parallel = 3;
  EXPECT_EQ(s.change(settings), "") << "no lane begins meanwhile";
  EXPECT_EQ(s.delivered(0), "");
  EXPECT_EQ(s.failed(1), "send 5-1-2-2 #1");
}

TEST(StreamRun, FewerAtATimeHoldsAtOnce) {
  Running s("abc", parallel(3));
  StreamMachine::Settings settings = s.options.settings;
  settings.delivery.parallel = 2;
  s.change(settings);
  s.failed(0);
  s.failed(1);
  s.failed(2);
  EXPECT_EQ(s.after(8s), "send 5-1-0-0 #2, send 5-1-1-1 #2");
  EXPECT_EQ(s.delivered(0), "send 5-1-2-2 #2");
}

TEST(StreamRun, BackToOneAtATimeABatchStopsBeforeWhatIsSettled) {
  Running s("abcd", parallel(4));
  s.delivered(1);
  s.delivered(0);
  s.failed(2);
  s.failed(3);
  s.store_devices("e");
  StreamMachine::Settings settings = s.options.settings;
  settings.delivery.parallel = 1;
  ++settings.render_revision;
  EXPECT_EQ(s.change(settings, true), "freeze 2-4");
  EXPECT_EQ(s.machine->delivered(), 2u);
  EXPECT_EQ(s.frozen(), "send 5-2-2-4 #1");
}

TEST(StreamRun, BackToOneAtATimeWithAHoleInTheMidst) {
  Running s("abcd", parallel(4));
  s.delivered(1);
  s.failed(0);
  s.failed(2);
  s.failed(3);
  StreamMachine::Settings settings = s.options.settings;
  settings.delivery.parallel = 1;
  ++settings.render_revision;
  EXPECT_EQ(s.change(settings, true), "freeze 0-0");
  EXPECT_EQ(s.frozen(), "send 5-2-0-0 #1");
  EXPECT_EQ(s.delivered(), "freeze 2-3");
  EXPECT_EQ(s.frozen(), "send 5-2-2-3 #1");
  s.delivered();
  EXPECT_EQ(s.machine->delivered(), 4u);
  EXPECT_EQ(s.machine->cursor(), Offset{4});
}

// ---- Too old -----------------------------------------------------------------------------------

TEST(StreamRun, ADevicesRequestAgesOutByItself) {
  DeliverySettings settings = parallel(2);
  settings.max_age = 20s;
  settings.timeout = 1s;
  Script s(settings, {1, 1 << 20});
  const WallTime old = s.options.wall();
  s.options.created = old;
  s.log.store(kOrganisation, Kind::Event, {"@a", "@b"}, old);
  s.log.store(kOrganisation, Kind::Event, {"@a"}, {old.ms + 15'000});
  s.begin();
  s.frozen();
  s.failed(0);
  s.delivered(1);
  EXPECT_EQ(s.after(8s), "send 5-1-0-0 #2");
  s.failed(0);
  EXPECT_EQ(s.after(11s), "send 5-1-0-0 #3") << "one attempt just before it is too late";
  s.failed(0);
  EXPECT_EQ(s.after(1s), "send 5-1-2-2 #1");
  s.delivered(2);
  EXPECT_EQ(s.machine->losses().aged_out, 1u);
  EXPECT_EQ(s.machine->delivered(), 2u);
}

// ---- The next process --------------------------------------------------------------------------

TEST(StreamRun, AfterACrashTheRunIsCutTheSameWay) {
  Running s("abacab", parallel(2), {2, 1 << 20});
  s.delivered(0);
  s.start.entry = s.freezing;
  EXPECT_EQ(s.begin(), "freeze 0-5");
  EXPECT_EQ(s.frozen(), "send 5-1-0-2 #1, send 5-1-1-5 #1");
}

TEST(StreamRun, WhatADeadLetterTookWithItIsNotSentAfterACrash) {
  Running s("aaabbb", parallel(2), {2, 1 << 20});
  s.delivered(3);
  s.refuse(0);
  s.refuse(0);
  s.start.entry = further(s.freezing, s.parking->behind);
  s.start.ahead = s.parking->ahead;
  s.under_way.clear();
  EXPECT_EQ(s.begin(), "freeze 0-5");
  EXPECT_EQ(s.machine->parked_count(), 1u);
  EXPECT_EQ(s.frozen(), "send 5-1-1-1 #1, send 5-1-5-5 #1") << "the cuts are where they were";
  s.delivered(5);
  s.delivered(1);
  EXPECT_EQ(s.delivered(2), "");
  EXPECT_EQ(s.machine->cursor(), Offset{6});
  EXPECT_EQ(s.machine->delivered(), 5u);
}

TEST(StreamRun, AStopKeepsWhatIsSettled) {
  Running s("abc", parallel(3));
  s.delivered(1);
  EXPECT_EQ(s.stop(), "");
  EXPECT_EQ(s.delivered(0), "");
  EXPECT_EQ(s.abandon(), "cancel");
  EXPECT_EQ(s.answer(2, RetryLater{"cancelled", {}, 0}, 0, false), "keep");
  EXPECT_FALSE(s.machine->stopped());
  EXPECT_EQ(s.parked(Error{ErrorCode::Io, "disk"}), "") << "once is enough";
  EXPECT_TRUE(s.machine->stopped());
  s.start.entry = further(s.freezing, s.parking->behind);
  s.start.ahead = s.parking->ahead;
  s.begin();
  EXPECT_EQ(s.frozen(), "send 5-1-2-2 #1");
}

TEST(StreamRun, WhoTakesItsPlaceIsToldWhatMayArriveTwice) {
  Running s("abcd", parallel(4));
  s.delivered(1);
  s.close();
  s.delivered(3);
  s.failed(0);
  EXPECT_FALSE(s.machine->closed());
  s.failed(2);
  EXPECT_TRUE(s.machine->closed());
  EXPECT_EQ(s.machine->cursor(), Offset{0});
  EXPECT_EQ(s.machine->in_doubt(), std::pair(Offset{1}, Offset{3}));
}

// ---- What is settled ahead ---------------------------------------------------------------------

TEST(SettledAhead, ComesBackFromItsBytesAndDamageIsSeen) {
  SettledAhead ahead;
  EXPECT_EQ(ahead.encode(), "");
  ahead.add(Offset{1ull << 60}, Settled::AgedOut);
  ahead.add(Offset{7}, Settled::Parked);
  ahead.add(Offset{3}, Settled::Delivered);
  const std::string bytes = ahead.encode();
  EXPECT_EQ(SettledAhead::decode(bytes), ahead);
  EXPECT_EQ(SettledAhead::decode(""), SettledAhead{});
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_EQ(SettledAhead::decode(damaged), std::nullopt) << i;
    EXPECT_EQ(SettledAhead::decode(std::string_view(bytes).substr(i + 1)).has_value(),
              i + 1 == bytes.size());
  }
  const auto [passed, last] = ahead.pass(Offset{7});
  EXPECT_EQ(passed.delivered, 1u);
  EXPECT_EQ(passed.all(), 1u);
  EXPECT_EQ(last, Offset{3});
  EXPECT_EQ(ahead.counts().all(), 2u);
  EXPECT_EQ(ahead.range(), std::pair(Offset{7}, Offset{1ull << 60}));
}

}  // namespace
}  // namespace sluice::dispatch
