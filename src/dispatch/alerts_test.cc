// What people hear of a stream, and that a stream never gets an alert about itself.

#include <gtest/gtest.h>

#include "dispatch/alert_watch.h"
#include "dispatch/stream_script.h"

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using catalog::StreamStatus;
using connectors::Gone;
using connectors::Rejected;

struct Ears final : AlertSink {
  void alert(const Alert& alert) override { heard.push_back(alert); }

  // Since it was last asked.
  std::vector<AlertKind> kinds() {
    std::vector<AlertKind> kinds;
    for (const Alert& alert : std::exchange(heard, {})) kinds.push_back(alert.kind);
    return kinds;
  }
  std::vector<Alert> heard;
};
using Kinds = std::vector<AlertKind>;

class AlertsTest : public testing::Test {
 protected:
  void begin(DeliverySettings delivery = {}) {
    script.options.settings.delivery = delivery;
    script.begin();
    watch.emplace(AlertWatch::Options{.stream = StreamId{5},
                                      .organisation = kOrganisation,
                                      .created = {},
                                      .retention = 20 * 24h,
                                      .sink = &ears},
                  delivery, *script.machine);
    look();
  }
  void look() { watch->look(*script.machine, script.now, script.options.wall()); }
  // Timers go off on the way, the watch's too; each attempt fails.
  void after(Milliseconds wait) {
    const SteadyTime until = script.now + wait;
    while (script.now < until) {
      SteadyTime next = until;
      if (watch->wake_at()) next = std::min(next, *watch->wake_at());
      if (script.machine->wake_at()) next = std::min(next, *script.machine->wake_at());
      ASSERT_GT(next, script.now) << "would spin";
      const std::string did = script.after(std::chrono::ceil<Milliseconds>(next - script.now));
      if (did.find("send ") != did.npos) script.failed("503 later");
      look();
    }
  }
  // As they are when their time comes.
  void store(std::size_t count) {
    script.log.store(kOrganisation, Kind::Event,
                     std::vector<std::string>(count, std::string(20, 'x')), script.options.wall());
    script.ready();
    look();
  }

  Script script;
  Ears ears;
  std::optional<AlertWatch> watch;
};

TEST_F(AlertsTest, TheWayIntoErrorAndBack) {
  DeliverySettings delivery;
  delivery.error_after = 1000s;
  delivery.initial = delivery.max = 100s;
  begin(delivery);
  store(1);
  script.frozen();
  script.failed("503 later");
  look();
  after(499s);
  EXPECT_EQ(ears.kinds(), Kinds{});
  after(2s);
  ASSERT_EQ(ears.heard.size(), 1u);
  EXPECT_EQ(ears.heard[0].reason,
            "no success for 8 min 20 s; in 8 min 20 s it goes to Error. The last failure: "
            "503 later");
  EXPECT_EQ(ears.kinds(), Kinds{AlertKind::Failing50});
  after(200s);
  EXPECT_EQ(ears.kinds(), Kinds{AlertKind::Failing70});
  after(200s);
  EXPECT_EQ(ears.kinds(), Kinds{AlertKind::Failing90});
  after(200s);
  EXPECT_EQ(script.machine->status(), StreamStatus::Error);
  EXPECT_EQ(ears.kinds(), Kinds{AlertKind::Error});
  EXPECT_EQ(script.command(Command::Restart), "send 5-1-0-0 #11");
  look();
  EXPECT_EQ(ears.kinds(), Kinds{});
  script.delivered();
  look();
  EXPECT_EQ(ears.kinds(), Kinds{AlertKind::Recovered});
  store(1);
  script.frozen();
  script.delivered();
  look();
  EXPECT_EQ(ears.kinds(), Kinds{});
}

TEST_F(AlertsTest, AStreamThatFailsForAMomentIsNoNews) {
  begin();
  store(1);
  script.frozen();
  script.failed();
  look();
  script.after(8s);
  script.delivered();
  look();
  EXPECT_EQ(ears.kinds(), Kinds{});
}

TEST_F(AlertsTest, OneThatIsInErrorWhenTheServerStartsIsToldAgain) {
  script.start.status = StreamStatus::Error;
  script.start.last_error = "410 gone";
  begin();
  ASSERT_EQ(ears.heard.size(), 1u);
  EXPECT_EQ(ears.heard[0].reason, "410 gone");
  look();
  EXPECT_EQ(ears.kinds(), Kinds{AlertKind::Error});
}

TEST_F(AlertsTest, WhatIsGivenUpIsCounted) {
  DeliverySettings delivery;
  delivery.max_age = 60s;
  begin(delivery);
  store(2);
  script.frozen();
  script.sent(Rejected{"400 no"}, 400);
  script.frozen();
  script.sent(Rejected{"400 no"}, 400);
  script.parked();
  look();
  ASSERT_EQ(ears.heard.size(), 1u);
  EXPECT_EQ(ears.heard[0].records, 1u);
  EXPECT_EQ(ears.kinds(), Kinds{AlertKind::DeadLetters});
  script.frozen();
  script.failed();
  look();
  after(100s);
  std::uint64_t aged_out = 0;
  for (const Alert& alert : ears.heard) {
    if (alert.kind == AlertKind::AgedOut) aged_out += alert.records;
  }
  EXPECT_EQ(aged_out, 1u);
}

TEST_F(AlertsTest, SkippedIsToldAndDroppedWhileDisabledIsNot) {
  begin();
  store(3);
  script.command(Command::Pause);
  script.skip(2, false);
  look();
  // The freeze under way is awaited first.
  script.frozen();
  look();
  ASSERT_EQ(ears.heard.size(), 1u);
  EXPECT_EQ(ears.heard[0].records, 2u);
  EXPECT_EQ(ears.kinds(), Kinds{AlertKind::Skipped});
  script.command(Command::Disable);
  look();
  store(5);
  EXPECT_EQ(ears.kinds(), Kinds{});
}

TEST_F(AlertsTest, LossIsToldWhileThereIsTimeToPreventIt) {
  begin();
  script.command(Command::Pause);
  store(1);
  after(18 * 24h);
  EXPECT_EQ(ears.kinds(), Kinds{});
  after(5h);
  ASSERT_EQ(ears.heard.size(), 1u);
  EXPECT_EQ(ears.heard[0].reason.substr(0, 32), "you will lose data in 1 d 19 h: ");
  EXPECT_EQ(ears.kinds(), Kinds{AlertKind::LossAhead});
  after(24h);
  EXPECT_EQ(ears.kinds(), Kinds{});
}

// ---- never about itself ------------------------------------------------------------------------

TEST_F(AlertsTest, AStreamGetsAlertsAboutOthersButNoneAboutItself) {
  script.log.store(kOrganisation, Kind::Event, {"1", "!5", "2", "!6", "!5", "3", "!5"});
  EXPECT_EQ(script.begin(), "freeze 0-5");
  script.frozen();
  EXPECT_EQ(script.sent_records(), "12!3");
  EXPECT_EQ(script.delivered(), "");
  EXPECT_EQ(script.machine->cursor(), Offset{7});
  EXPECT_EQ(script.machine->delivered(), 4u);
  EXPECT_FALSE(script.machine->losses().any());
}

TEST_F(AlertsTest, NorAfterACrash) {
  script.log.store(kOrganisation, Kind::Event, {"1", "!5", "2"});
  script.begin();
  const JournalEntry frozen = *script.freezing;
  EXPECT_EQ(frozen.records, 2u);
  script.start.entry = frozen;
  script.begin();
  script.frozen();
  EXPECT_EQ(script.sent_records(), "12");
}

TEST_F(AlertsTest, NorWithAFilter) {
  script.options.settings.filter = only_types({1, 2, 10'001});
  script.log.store(kOrganisation, Kind::Event, {"1", "3", "!5", "2", "!6", "!5"});
  script.begin();
  script.frozen();
  EXPECT_EQ(script.sent_records(), "12!");
}

}  // namespace
}  // namespace sluice::dispatch
