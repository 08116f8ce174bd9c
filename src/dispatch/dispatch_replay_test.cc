// Replays and redrives beside their streams, with loops, a journal and files of dead letters.

#include <gtest/gtest.h>

#include <algorithm>

#include "dispatch/dispatch_fixture.h"

namespace sluice::dispatch {
namespace {

using catalog::Replay;
using catalog::ReplayState;
using catalog::StreamStatus;

class DispatchReplayTest : public DispatchTest {
 protected:
  ReplayId replay(std::uint64_t from, std::uint64_t to, const std::string& filters = "") {
    return begin(
        {.stream = StreamId{1}, .from = Offset{from}, .to = Offset{to}, .filters = filters});
  }
  ReplayId redrive() {
    const auto marked = dead_letters_->mark(StreamId{1}, std::nullopt);
    return begin({.stream = StreamId{1},
                  .of_dead_letters = true,
                  .from = marked->first,
                  .to = next(marked->last),
                  .total = marked->count});
  }
  ReplayId begin(const Replay& wanted) {
    const Replay created = *replays_.create(wanted, {});
    const Result<void> begun = wait_for(dispatch_->replay(*catalog_.get(StreamId{1}), created));
    EXPECT_TRUE(begun.has_value()) << begun.error().message;
    return created.id;
  }
  Replay row(ReplayId id) { return **replays_.find(StreamId{1}, id); }
  // Its row says so, and the dispatch, which writes that first, has let go of it.
  bool ends(ReplayId id, ReplayState state) {
    return eventually(
        [&] { return row(id).state == state && !dispatch_->replay_progress(StreamId{1}); });
  }
  // Records that came under a replay's ids, in their order.
  static std::vector<std::string> replayed(ReplayId id) {
    const std::string prefix = fmt::format("1-r{}-", id.value());
    std::vector<std::string> records;
    for (const World::Received& each : world().received("1")) {
      if (!each.webhook_id.starts_with(prefix)) continue;
      records.insert(records.end(), each.records.begin(), each.records.end());
    }
    return records;
  }
  std::vector<std::string> records(std::uint64_t from, std::uint64_t to) {
    const std::vector<std::string> all = all_records(1);
    return {all.begin() + static_cast<std::ptrdiff_t>(from),
            all.begin() + static_cast<std::ptrdiff_t>(to)};
  }
};

TEST_F(DispatchReplayTest, SendsARangeAgainBesideTheStream) {
  make_stream(1, 1, 10);
  start();
  store(1, 250);
  ASSERT_TRUE(eventually([] { return world().count("1") == 250; }));
  const ReplayId id = replay(30, 145);
  store(1, 100);
  ASSERT_TRUE(ends(id, ReplayState::Done));
  EXPECT_EQ(replayed(id), records(30, 145));
  EXPECT_EQ(row(id).sent, 115u);
  EXPECT_EQ(row(id).total, 115u);
  ASSERT_TRUE(eventually([&] { return world().count("1") == 350 + 115; }));
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->delivered, 350u);
  ASSERT_TRUE(eventually([&] { return !dispatch_->replay_progress(StreamId{1}); }));
  const ReplayId second = replay(0, 5);
  ASSERT_TRUE(ends(second, ReplayState::Done));
  EXPECT_EQ(replayed(second), records(0, 5));
}

TEST_F(DispatchReplayTest, GoesOnAfterARestart) {
  make_stream(1, 1, 10, kFastRetry);
  start();
  store(1, 500);
  ASSERT_TRUE(eventually([] { return world().count("1") == 500; }));
  const ReplayId id = replay(0, 500);
  ASSERT_TRUE(eventually([&] { return replayed(id).size() > 50; }));
  stop();
  EXPECT_EQ(row(id).state, ReplayState::Running);
  start();
  ASSERT_TRUE(ends(id, ReplayState::Done));
  std::vector<std::string> seen = replayed(id);
  EXPECT_LE(seen.size(), 520u);
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  EXPECT_GE(seen.size(), 500u);
  EXPECT_EQ(row(id).sent, 500u);
}

// The crash came after the catalog knew that the stream is disabled, and before it knew that so the
// replay has ended: it would stand in the way of every other.
TEST_F(DispatchReplayTest, IsCancelledAfterARestartWhereTheStreamIsDisabled) {
  catalog::Stream stream = make_stream(1, 1, 10);
  stream.status = StreamStatus::Disabled;
  catalog_.put(stream);
  store(1, 50);
  const Replay under_way = *replays_.create({.stream = StreamId{1}, .to = Offset{50}}, {});
  start();
  ASSERT_TRUE(ends(under_way.id, ReplayState::Cancelled));
  EXPECT_EQ(replayed(under_way.id).size(), 0u);
}

TEST_F(DispatchReplayTest, IsCancelledAfterARestartWhereTheStreamWasReplaced) {
  catalog::Stream stream = make_stream(1, 1, 10);
  stream.replaced_by = StreamId{2};
  catalog_.put(stream);
  store(1, 50);
  const Replay under_way = *replays_.create({.stream = StreamId{1}, .to = Offset{50}}, {});
  start();
  ASSERT_TRUE(ends(under_way.id, ReplayState::Cancelled));
  EXPECT_EQ(world().count("1"), 0u);
}

TEST_F(DispatchReplayTest, WaitsForItsStreamAndFailsForItsOwn) {
  make_stream(1, 1, 10, R"({"retry": {"initial_ms": 10, "max_ms": 20}, "error_after_s": 1})");
  start();
  store(1, 50);
  ASSERT_TRUE(eventually([] { return world().count("1") == 50; }));
  ASSERT_TRUE(command(1, Command::Pause).has_value());
  const ReplayId id = replay(0, 50);
  EXPECT_TRUE(dispatch_->replay_progress(StreamId{1})->waits);
  EXPECT_EQ(replayed(id).size(), 0u);
  world().set("1", World::Mood::Fails);
  const std::size_t attempts = world().attempts("1");
  ASSERT_TRUE(command(1, Command::Resume).has_value());
  ASSERT_TRUE(eventually([&] { return world().attempts("1") > attempts + 3; }));
  EXPECT_EQ(dispatch_->replay_progress(StreamId{1})->error, "503 later");
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->status, StreamStatus::Running);
  world().set("1", World::Mood::Takes);
  ASSERT_TRUE(ends(id, ReplayState::Done));
  EXPECT_EQ(replayed(id), records(0, 50));
  EXPECT_EQ(row(id).error, "");
}

TEST_F(DispatchReplayTest, IsCancelledAndItsEndIsWrittenInTheEnd) {
  make_stream(1, 1, 10);
  start();
  store(1, 50);
  ASSERT_TRUE(eventually([] { return world().count("1") == 50; }));
  world().set("1", World::Mood::Blocks);
  const ReplayId id = replay(0, 50);
  EXPECT_EQ(wait_for(dispatch_->cancel_replay(StreamId{1}, ReplayId{99})).error().code,
            ErrorCode::NotFound);
  replays_.fail_updates(1);
  EXPECT_FALSE(wait_for(dispatch_->cancel_replay(StreamId{1}, id)).has_value());
  EXPECT_TRUE(ends(id, ReplayState::Cancelled));
  EXPECT_EQ(wait_for(dispatch_->cancel_replay(StreamId{1}, id)).error().code, ErrorCode::NotFound);
}

TEST_F(DispatchReplayTest, EndsWhenItsStreamIsDisabledOrGone) {
  make_stream(1, 1, 10);
  start();
  store(1, 50);
  ASSERT_TRUE(eventually([] { return world().count("1") == 50; }));
  world().set("1", World::Mood::Blocks);
  const ReplayId id = replay(0, 50);
  ASSERT_TRUE(command(1, Command::Disable).has_value());
  ASSERT_TRUE(ends(id, ReplayState::Cancelled));
  const Replay another = *replays_.create(row(id), {});
  EXPECT_EQ(wait_for(dispatch_->replay(*catalog_.get(StreamId{1}), another)).error().code,
            ErrorCode::Conflict);
  ASSERT_TRUE(command(1, Command::Resume).has_value());
  replay(0, 50);
  ASSERT_TRUE(wait_for(dispatch_->remove(StreamId{1})));
}

TEST_F(DispatchReplayTest, NoneBeginsOnceTheServerIsStopping) {
  make_stream(1, 1, 10);
  start();
  store(1, 50);
  ASSERT_TRUE(eventually([] { return world().count("1") == 50; }));
  dispatch_->stop(5000);
  const Replay late = *replays_.create({.stream = StreamId{1}, .to = Offset{50}}, {});
  const auto begun = wait_for(dispatch_->replay(*catalog_.get(StreamId{1}), late));
  ASSERT_FALSE(begun.has_value());
  EXPECT_EQ(begun.error().code, ErrorCode::Cancelled);
  EXPECT_FALSE(dispatch_->replay_progress(StreamId{1}));
}

TEST_F(DispatchReplayTest, RedriveTakesDeadLettersAwayAsTheyArrive) {
  world().set("1", World::Mood::Refuses);
  make_stream(1, 1, 10, R"({"rejected_in_a_row": 0})");
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([&] { return dead_letters_->count(StreamId{1}) == 25; }));
  // Refused again they stay, with their marks taken.
  ReplayId id = redrive();
  ASSERT_TRUE(ends(id, ReplayState::Done));
  EXPECT_EQ(row(id).parked, 25u);
  EXPECT_EQ(row(id).sent, 0u);
  EXPECT_EQ(dead_letters_->count(StreamId{1}), 25u);

  world().set("1", World::Mood::Takes);
  id = redrive();
  ASSERT_TRUE(ends(id, ReplayState::Done));
  EXPECT_EQ(replayed(id), all_records(1));
  EXPECT_EQ(row(id).sent, 25u);
  EXPECT_EQ(dead_letters_->count(StreamId{1}), 0u);
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->status, StreamStatus::Running);
}

TEST_F(DispatchReplayTest, RedriveGoesOnAfterARestart) {
  world().set("1", World::Mood::Refuses);
  make_stream(1, 1, 10, R"({"rejected_in_a_row": 0, "retry": {"initial_ms": 10, "max_ms": 20}})");
  start();
  store(1, 300);
  ASSERT_TRUE(eventually([&] { return dead_letters_->count(StreamId{1}) == 300; }));
  world().set("1", World::Mood::Takes);
  const ReplayId id = redrive();
  ASSERT_TRUE(eventually([&] { return replayed(id).size() > 50; }));
  stop();
  start();
  ASSERT_TRUE(ends(id, ReplayState::Done));
  EXPECT_EQ(dead_letters_->count(StreamId{1}), 0u);
  EXPECT_EQ(world().distinct("1"), all_records(1));
}

}  // namespace
}  // namespace sluice::dispatch
