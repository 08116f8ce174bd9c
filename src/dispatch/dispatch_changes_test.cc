#include "dispatch/dispatch_fixture.h"

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using catalog::StreamStatus;

TEST_F(DispatchTest, ChangeTakesOverWhatTheCatalogHas) {
  world().set("1", World::Mood::Refuses);
  make_stream(1, 1, 10, R"({"on_rejected": "halt"})");
  make_stream(2, 1, 10);
  start();
  store(1, 25);
  ASSERT_TRUE(
      eventually([&] { return dispatch_->snapshot(StreamId{1})->status == StreamStatus::Error; }));
  const auto same = change(1, {.name = "another name"});
  ASSERT_TRUE(same.has_value());
  EXPECT_EQ(same->status, StreamStatus::Error);
  const auto elsewhere =
      change(1, {.destination = destination("elsewhere", 7), .new_rendering = true});
  ASSERT_TRUE(elsewhere.has_value());
  EXPECT_EQ(elsewhere->status, StreamStatus::Running);
  EXPECT_EQ(elsewhere->last_error, "");
  ASSERT_TRUE(eventually([] { return world().count("elsewhere") == 25; }));
  EXPECT_EQ(world().distinct("elsewhere"), all_records(1));
  EXPECT_EQ(world().received("elsewhere")[0].records.size(), 7u);
  EXPECT_TRUE(world().received("elsewhere")[0].webhook_id.starts_with("1-2-0-"));
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->applied_revision == 2; }));
  catalog::Stream stranger;
  stranger.id = StreamId{9};
  EXPECT_EQ(wait_for(dispatch_->change(stranger)).error().code, ErrorCode::NotFound);
}

TEST_F(DispatchTest, OlderSettingsThatArriveLateAreLeftOut) {
  make_stream(1, 1, 10);
  start();
  const auto write = [&](const std::string& name) {
    return *catalog_.change_stream(OrganisationId{1}, StreamId{1},
                                   {.destination = destination(name, 10), .new_rendering = true},
                                   {});
  };
  const catalog::Stream older = write("older");
  const catalog::Stream newer = write("newer");
  ASSERT_TRUE(wait_for(dispatch_->change(newer)).has_value());
  ASSERT_TRUE(wait_for(dispatch_->change(older)).has_value());
  store(1, 30);
  ASSERT_TRUE(eventually([] { return world().count("newer") == 30; }));
  EXPECT_EQ(world().count("older"), 0u);
}

TEST_F(DispatchTest, ChangeThatACrashKeptFromDispatchHoldsInTheNextLife) {
  world().set("1", World::Mood::Refuses);
  make_stream(1, 1, 10, R"({"on_rejected": "halt"})");
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->status == StreamStatus::Error; }));
  stop();
  // As it would be had the process ended here.
  ASSERT_TRUE(
      catalog_
          .change_stream(OrganisationId{1}, StreamId{1},
                         {.destination = destination("elsewhere", 10), .new_rendering = true}, {})
          .has_value());
  start();
  ASSERT_TRUE(eventually([] { return world().count("elsewhere") == 25; }));
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->applied_revision == 1; }));
  EXPECT_EQ(catalog_.get(StreamId{1})->status, StreamStatus::Running);
  // The next Error is the new destination's own, and stays.
  world().set("elsewhere", World::Mood::Refuses);
  store(1, 5);
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->status == StreamStatus::Error; }));
  stop();
  start();
  EXPECT_EQ(command(1, Command::Resume).error().code, ErrorCode::Conflict);
}

TEST_F(DispatchTest, AttemptUnderWayEndsBeforeAChangeHolds) {
  world().set("1", World::Mood::Blocks);
  make_stream(1, 1, 10);
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([] { return world().attempts("1") == 1; }));
  ASSERT_TRUE(
      change(1, {.destination = destination("elsewhere", 10), .new_rendering = true}).has_value());
  EXPECT_EQ(world().attempts("elsewhere"), 0u);
  EXPECT_EQ(catalog_.get(StreamId{1})->applied_revision, 0u);
  ASSERT_TRUE(command(1, Command::Disable).has_value());  // ends it
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->applied_revision == 1; }));
  ASSERT_TRUE(command(1, Command::Resume).has_value());
  store(1, 5);
  ASSERT_TRUE(eventually([] { return world().count("elsewhere") == 5; }));
}

TEST_F(DispatchTest, FiltersChangeAtOnceAndAStreamThatPassesNothingIsIdle) {
  make_stream(1, 1, 10);
  catalog::Stream filtered = make_stream(2, 1, 10);
  filtered.filters = R"([{"field": "event_type_id", "value": 2}])";
  catalog_.put(filtered);
  start();
  store(1, 5000);  // of type 1
  ASSERT_TRUE(eventually([] { return world().count("1") == 5000; }));
  ASSERT_TRUE(eventually([&] { return dispatch_->snapshot(StreamId{2})->lag_records == 0; }));
  EXPECT_EQ(dispatch_->snapshot(StreamId{2})->next_offset, Offset{5000});
  EXPECT_EQ(world().attempts("2"), 0u);
  ASSERT_TRUE(change(2, {.filters = R"([{"field": "event_type_id", "value": 1}])"}).has_value());
  store(1, 20);
  ASSERT_TRUE(eventually([] { return world().count("2") == 20; }));
}

TEST_F(DispatchTest, DisabledStreamDropsAndCountsAlsoThroughARestart) {
  world().set("1", World::Mood::Fails);
  make_stream(1, 1, 10, kFastRetry);
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([] { return world().attempts("1") > 1; }));
  const auto disabled = command(1, Command::Disable);
  ASSERT_TRUE(disabled.has_value());
  EXPECT_EQ(disabled->status, StreamStatus::Disabled);
  EXPECT_EQ(catalog_.get(StreamId{1})->status, StreamStatus::Disabled);
  EXPECT_EQ(command(1, Command::Pause).error().code, ErrorCode::Conflict);
  EXPECT_EQ(command(1, Command::Restart).error().code, ErrorCode::Conflict);
  store(1, 5);
  ASSERT_TRUE(eventually([&] { return dispatch_->snapshot(StreamId{1})->dropped == 30; }));
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->lag_records, 0u);
  stop();
  world().set("1", World::Mood::Takes);
  start();
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->dropped, 30u);
  store(1, 5);
  const auto resumed = command(1, Command::Resume);
  ASSERT_TRUE(resumed.has_value());
  EXPECT_EQ(resumed->status, StreamStatus::Running);
  EXPECT_EQ(resumed->dropped, 35u) << "what was stored before the command came before it";
  EXPECT_EQ(catalog_.get(StreamId{1})->start, Offset{35});
  store(1, 5);
  ASSERT_TRUE(eventually([] { return world().count("1") == 5; }));
  EXPECT_EQ(world().distinct("1").front(), "1:35");
}

TEST_F(DispatchTest, HandOverStandsStillUntilItEndsOneWayOrTheOther) {
  world().set("1", World::Mood::Holds);
  make_stream(1, 1, 10);
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([] { return world().attempts("1") == 1; }));
  std::promise<Result<Dispatch::Standing>> standing;
  boost::asio::co_spawn(
      threads_->loop(0),
      [](Dispatch& dispatch, std::promise<Result<Dispatch::Standing>>& told) -> Awaitable<void> {
        told.set_value(co_await dispatch.begin_hand_over(StreamId{1}));
      }(*dispatch_, standing),
      boost::asio::detached);
  ASSERT_TRUE(eventually([&] { return dispatch_->snapshot(StreamId{1})->handing_over; }));
  EXPECT_EQ(command(1, Command::Pause).error().code, ErrorCode::Conflict);
  EXPECT_EQ(wait_for(dispatch_->begin_hand_over(StreamId{1})).error().code, ErrorCode::Conflict);
  world().set("1", World::Mood::Takes);
  const auto told = standing.get_future().get();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->cursor, Offset{10});
  EXPECT_EQ(world().count("1"), 10u);
  ASSERT_TRUE(wait_for(dispatch_->end_hand_over(StreamId{1}, std::nullopt)).has_value());
  ASSERT_TRUE(eventually([] { return world().count("1") == 25; }));

  ASSERT_TRUE(wait_for(dispatch_->begin_hand_over(StreamId{1})).has_value());
  ASSERT_TRUE(wait_for(dispatch_->end_hand_over(StreamId{1}, StreamId{2})).has_value());
  store(1, 5);
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->status, StreamStatus::Paused);
  EXPECT_FALSE(dispatch_->snapshot(StreamId{1})->handing_over);
  EXPECT_EQ(command(1, Command::Resume).error().code, ErrorCode::Conflict);
  EXPECT_EQ(world().count("1"), 25u);
  ASSERT_TRUE(wait_for(dispatch_->remove(StreamId{1})).has_value());
}

TEST_F(DispatchTest, AStreamThatWasReplacedStandsStillAfterARestart) {
  catalog::Stream stream = make_stream(1, 1, 10);
  stream.replaced_by = StreamId{2};
  catalog_.put(stream);
  start();
  store(1, 25);
  EXPECT_EQ(command(1, Command::Resume).error().code, ErrorCode::Conflict);
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->status, StreamStatus::Paused);
  EXPECT_EQ(world().attempts("1"), 0u);
}

}  // namespace
}  // namespace sluice::dispatch
