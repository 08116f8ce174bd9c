#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "dispatch/stream_parts.h"
#include "dispatch/stream_script.h"

// Batches that are too large to be held: what is read, when, and what is kept of it.

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using connectors::Delivered;
using connectors::Rejected;
using connectors::RetryLater;

constexpr std::uint64_t kHeld = 1000;  // about 14 of a chunk's records of 20 bytes

connectors::BatchLimits limits(std::uint32_t records) { return {records, 1 << 30, {}, kHeld}; }

TEST(StreamedBatch, IsCountedAndNotHeld) {
  Script script({}, limits(100));
  for (int i = 0; i < 12; ++i) script.lay(10);
  EXPECT_EQ(script.begin(), "send 5-1-0-99 #1");
  EXPECT_TRUE(script.batch().runs.empty());
  EXPECT_EQ(script.batch().records, 100u);
  EXPECT_EQ(script.batch().bytes, 2000u);
  EXPECT_EQ(script.reads, 12);
  // Its attempt, and the next one's beginning.
  EXPECT_GE(script.machine->memory_bytes(), kStreamedAttemptBytes);
  EXPECT_LE(script.machine->memory_bytes(), kStreamedAttemptBytes + 2 * kHeld);
  EXPECT_TRUE(script.machine->uses_memory());
  EXPECT_EQ(script.delivered(), "freeze 100-119");
  EXPECT_EQ(script.machine->delivered(), 100u);
  EXPECT_LE(script.machine->memory_bytes(), 2 * kHeld);
}

TEST(StreamedBatch, ASmallOneIsHeldAndSoIsALargeRecord) {
  Script script({}, limits(10));
  script.lay(10);
  script.lay(1, Kind::Event, 5000);
  EXPECT_EQ(script.begin(), "send 5-1-0-9 #1");
  EXPECT_FALSE(script.batch().runs.empty());
  EXPECT_EQ(script.delivered(), "freeze 10-10");
  EXPECT_EQ(script.frozen(), "send 5-1-10-10 #1");
  EXPECT_FALSE(script.batch().runs.empty());
}

TEST(StreamedBatch, IsCountedAgainBeforeItIsSentAgain) {
  Script script({}, limits(100));
  for (int i = 0; i < 10; ++i) script.lay(10);
  EXPECT_EQ(script.begin(), "send 5-1-0-99 #1");
  EXPECT_EQ(script.reads, 10);
  EXPECT_EQ(script.failed(), "");
  EXPECT_EQ(script.machine->memory_bytes(), 0u);
  EXPECT_EQ(script.after(8s), "send 5-1-0-99 #2");
  EXPECT_EQ(script.reads, 20);
  script.log.lose(kOrganisation, Offset{50}, FakeLog::Loss::Damaged);
  EXPECT_EQ(script.sent(RetryLater{"lost", {}, 0}, 502, false, Fault::Us), "");
  EXPECT_EQ(script.after(16s), "freeze 0-99") << "under an id of its own";
  EXPECT_EQ(script.frozen(), "send 5-3-0-99 #1");
  EXPECT_EQ(script.batch().records, 90u);
  script.delivered();
  EXPECT_EQ(script.machine->losses().damaged, 10u);
}

TEST(StreamedBatch, IsTheSameAfterACrash) {
  Script script({}, limits(1000));
  for (int i = 0; i < 10; ++i) script.lay(10);
  EXPECT_EQ(script.begin(), "freeze 0-99");
  EXPECT_EQ(script.frozen(), "send 5-1-0-99 #1");
  for (int i = 0; i < 5; ++i) script.lay(10);
  script.start.entry = script.freezing;
  EXPECT_EQ(script.begin(), "freeze 0-99");
  EXPECT_EQ(script.frozen(), "send 5-1-0-99 #1");
  EXPECT_TRUE(script.batch().runs.empty());
  EXPECT_EQ(script.batch().bytes, 2000u);
}

TEST(StreamedBatch, HalvesAreGatheredOnceMore) {
  Script script({}, limits(100));
  for (int i = 0; i < 20; ++i) script.store_types("1212121212");
  script.options.settings.filter = only_types({1});
  EXPECT_EQ(script.begin(), "send 5-1-0-198 #1");
  const auto refused = [&] { return script.sent(Rejected{"too much"}, 413); };
  EXPECT_EQ(refused(), "freeze 0-98") << "50 of those wanted";
  EXPECT_EQ(script.frozen(), "send 5-1-0-98 #1");
  EXPECT_EQ(script.batch().records, 50u);
  EXPECT_EQ(refused(), "freeze 0-48");
  EXPECT_EQ(script.frozen(), "send 5-1-0-48 #1");
  EXPECT_EQ(script.delivered(), "freeze 50-98");
  EXPECT_EQ(script.frozen(), "send 5-1-50-98 #1");
  EXPECT_EQ(script.delivered(), "freeze 100-198");
  EXPECT_EQ(script.frozen(), "send 5-1-100-198 #1");
  EXPECT_EQ(script.batch().records, 50u);
  script.delivered();
  EXPECT_EQ(script.machine->delivered(), 100u);
}

TEST(StreamedBatch, RecordsGivenUpByCommandAreHeld) {
  Script script({}, limits(1000));
  for (int i = 0; i < 30; ++i) script.lay(10);
  EXPECT_EQ(script.begin(), "freeze 0-299");
  EXPECT_EQ(script.command(Command::Pause), "");
  EXPECT_EQ(script.skip(300, /*park=*/true), "");
  std::uint64_t parked = 0;
  for (std::string did = script.frozen(); script.parking; did = script.parked()) {
    EXPECT_TRUE(did.starts_with(fmt::format("park {}-", parked))) << did;
    ASSERT_FALSE(script.parking->records->runs.empty());
    EXPECT_LE(script.parking->records->bytes, kHeld);
    parked += script.parking->records->records;
    script.parking.reset();
  }
  EXPECT_EQ(parked, 300u);
  EXPECT_EQ(script.machine->cursor(), Offset{300});
}

TEST(StreamedBatch, KnowsWhenItsKindsWereFirstStored) {
  Script script({}, limits(30));
  for (int i = 0; i < 3; ++i) {
    script.log.store(kOrganisation, Kind::Event, std::vector<std::string>(20, "x"),
                     WallTime{1000 * (7 + i)});
  }
  EXPECT_EQ(script.begin(), "send 5-1-0-29 #1");
  EXPECT_EQ(script.delivered(), "send 5-1-30-59 #1");
  EXPECT_EQ(script.batch().delivered_stored.event_s, 7u);
}

// ---- Its source --------------------------------------------------------------------------------

class LogSourceTest : public ::testing::Test {
 protected:
  LogSourceTest() {
    batch_.first = Offset{3};
    batch_.last = Offset{36};
    batch_.records = 34;
    batch_.bytes = 34 * 2;
    for (int i = 0; i < 5; ++i) {
      log_.store(kOrganisation, Kind::Event, std::vector<std::string>(10, "xx"));
    }
  }
  LogSource source(std::shared_ptr<const filters::Filter> filter = nullptr) {
    return {log_.reader(kOrganisation, {Kind::Event}),
            Selection(StreamId{5}, std::move(filter), &evaluator_), batch_};
  }
  // "3-9 10-19" or the error's text behind what came before it.
  static std::string read(LogSource& source) {
    std::string all;
    boost::asio::io_context loop;
    boost::asio::co_spawn(loop, read_all(source, all),
                          [](std::exception_ptr thrown) { EXPECT_FALSE(thrown); });
    loop.run();
    return all;
  }
  static Awaitable<void> read_all(LogSource& source, std::string& all) {
    while (true) {
      const auto run = co_await source.next();
      if (!run.has_value()) all += run.error().message;
      if (!run.has_value() || !run->has_value()) co_return;
      const std::uint64_t first = (*run)->chunk->first.value();
      all += fmt::format("{}-{} ", first + (*run)->begin, first + (*run)->end - 1);
    }
  }

  FakeLog log_;
  filters::Evaluator evaluator_;
  connectors::RecordBatch batch_;
};

TEST_F(LogSourceTest, GivesTheBatchAsOftenAsWanted) {
  LogSource all = source();
  EXPECT_EQ(read(all), "3-9 10-19 20-29 30-36 ");
  EXPECT_EQ(read(all), "") << "it is at its end";
  all.rewind();
  EXPECT_EQ(read(all), "3-9 10-19 20-29 30-36 ");
}

TEST_F(LogSourceTest, SaysWhenItIsNoLongerWhatWasCounted) {
  LogSource all = source();
  log_.lose(kOrganisation, Offset{20}, FakeLog::Loss::AgedOut);
  EXPECT_EQ(read(all), "3-9 10-19 30-36 records of the batch were lost since it was cut");
  all.rewind();
  all.close();
  EXPECT_EQ(read(all), "the stream stops");
  LogSource none = source(only_types({1}));
  EXPECT_EQ(read(none), "records of the batch were lost since it was cut");
}

}  // namespace
}  // namespace sluice::dispatch
