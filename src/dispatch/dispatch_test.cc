#include "base/units.h"
#include "dispatch/dispatch_fixture.h"
#include "recordlog/local/local_log.h"

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using catalog::StreamStatus;

TEST_F(DispatchTest, DeliversWhatIsThereAndWhatComesInOrder) {
  store(1, 250);
  make_stream(1, 1, 100);
  make_stream(2, 1, 7);
  start();
  store(1, 1000, 3);
  ASSERT_TRUE(eventually([] { return world().count("1") == 1250 && world().count("2") == 1250; }));
  for (const char* name : {"1", "2"}) {
    EXPECT_EQ(world().distinct(name), all_records(1));
    std::optional<std::string> previous;
    for (const World::Received& received : world().received(name)) {
      const std::optional<std::string> named =
          received.previous ? std::optional(std::to_string(received.previous->value()))
                            : std::nullopt;
      ASSERT_EQ(named, previous) << received.webhook_id;
      previous = received.webhook_id.substr(received.webhook_id.rfind('-') + 1);
    }
  }
  ASSERT_TRUE(eventually([&] { return dispatch_->snapshot(StreamId{1})->delivered == 1250; }));
  const auto snapshot = dispatch_->snapshot(StreamId{1});
  EXPECT_EQ(snapshot->lag_records, 0u);
  EXPECT_EQ(snapshot->next_offset, Offset{1250});
  EXPECT_EQ(snapshot->remote_status, 200);
  EXPECT_EQ(dispatch_->snapshot(StreamId{3}), std::nullopt);
}

TEST_F(DispatchTest, BlockedStreamIsItsOwnTrouble) {
  world().set("2", World::Mood::Blocks);
  make_stream(2, 1, 10);
  make_stream(4, 1, 10);  // on the same loop
  start();
  store(1, 5000);
  ASSERT_TRUE(eventually([] { return world().count("4") == 5000; }));
  EXPECT_EQ(world().count("2"), 0u);
  EXPECT_EQ(dispatch_->snapshot(StreamId{2})->lag_records, 5000u);
  stop(10);
  EXPECT_EQ(world().attempts("2"), 1u);
}

// Their batches hold many times what memory allows together, in chunks of one record.
TEST_F(DispatchTest, ManyStreamsCompleteTheirBatchesInLittleMemory) {
  memory_bytes_max_ = 64'000;
  for (std::uint64_t id = 1; id <= 40; ++id) {
    make_stream(id, id, 1000);
    store(id, 400, 1);
  }
  start();
  ASSERT_TRUE(eventually([] {
    for (int id = 1; id <= 40; ++id) {
      if (world().count(std::to_string(id)) != 400) return false;
    }
    return true;
  }));
}

// They wait for one another, half a second in all, so that most send both records at once.
TEST_F(DispatchTest, ManyStreamsWithLittleToSendTakeTheirTime) {
  constexpr std::uint64_t kStreams = 1000;
  for (std::uint64_t id = 1; id <= kStreams; ++id) make_stream(id, id, 100);
  start();
  for (std::uint64_t id = 1; id <= kStreams; ++id) store(id, 1);
  ASSERT_TRUE(eventually([] { return world().count("1") == 1; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (std::uint64_t id = 1; id <= kStreams; ++id) store(id, 1);
  std::size_t attempts = 0;
  for (std::uint64_t id = 1; id <= kStreams; ++id) {
    const std::string name = std::to_string(id);
    ASSERT_TRUE(eventually([&] { return world().count(name) == 2; }));
    attempts += world().attempts(name);
  }
  EXPECT_LT(attempts, 2 * kStreams - kStreams / 4);
}

TEST_F(DispatchTest, StreamsOfOneOrganisationCompleteTheirBatchesInLittleMemory) {
  memory_bytes_max_ = 64'000;
  for (std::uint64_t id = 1; id <= 10; ++id) make_stream(id, 1, 1000);
  store(1, 400, 1);
  start();
  ASSERT_TRUE(eventually([] {
    for (int id = 1; id <= 10; ++id) {
      if (world().count(std::to_string(id)) != 400) return false;
    }
    return true;
  }));
}

TEST_F(DispatchTest, OneOrganisationsUnansweredRequestsLeaveMemoryToTheOthers) {
  memory_bytes_max_ = 64'000;
  for (std::uint64_t id = 1; id <= 10; ++id) {
    world().set(std::to_string(id), World::Mood::Blocks);
    make_stream(id, 1, 100);
  }
  make_stream(11, 2, 10);
  make_stream(12, 2, 10);  // on the other loop
  start();
  store(1, 1000, 1);
  ASSERT_TRUE(eventually([] { return world().attempts("1") + world().attempts("2") > 0; }));
  store(2, 1000, 10);
  ASSERT_TRUE(
      eventually([] { return world().count("11") == 1000 && world().count("12") == 1000; }));
  stop(10);
}

// They may have threads of their own, for which the loop must still be there.
TEST_F(DispatchTest, NoConnectorThatWaitsForAnAttemptOutlivesIt) {
  world().set("1", World::Mood::Fails);
  make_stream(1, 1, 10, R"({"retry": {"initial_ms": 60000, "max_ms": 60000}})");
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([] { return world().attempts("1") == 1; }));
  ASSERT_TRUE(
      eventually([&] { return dispatch_->snapshot(StreamId{1})->last_error == "503 later"; }));
  EXPECT_EQ(world().live_connectors, 1);
  dispatch_->stop(5000);
  threads_->stop_and_join();
  pool_.reset();
  dispatch_.reset();
  EXPECT_EQ(world().live_connectors, 0);
  threads_.reset();
}

TEST_F(DispatchTest, FailingStreamTriesAgainAndGoesOn) {
  world().set("1", World::Mood::Fails);
  make_stream(1, 1, 10, kFastRetry);
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([] { return world().attempts("1") > 3; }));
  const auto snapshot = dispatch_->snapshot(StreamId{1});
  EXPECT_EQ(snapshot->status, StreamStatus::Running);
  EXPECT_EQ(snapshot->last_error, "503 later");
  EXPECT_EQ(snapshot->remote_status, 503);
  world().set("1", World::Mood::Takes);
  ASSERT_TRUE(eventually([] { return world().count("1") == 25; }));
  EXPECT_EQ(world().distinct("1"), all_records(1));
}

TEST_F(DispatchTest, RefusedRecordsAreParkedAndTheirCountOutlivesTheProcess) {
  world().set("1", World::Mood::Refuses);
  make_stream(1, 1, 10);
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->status == StreamStatus::Error; }));
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->dead_letters, 5u);
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->next_offset, Offset{5});
  const auto page = dead_letters_->list(StreamId{1}, {}, 10);
  ASSERT_EQ(page->letters.size(), 5u);
  EXPECT_EQ(page->letters[4].record, "1:4");
  EXPECT_EQ(page->letters[4].reason, "400 no");
  EXPECT_EQ(page->letters[4].status, 400);
  stop();
  // The journal, which follows late, is as if it had not been written.
  stdfs::remove_all(root_ + "/journal");
  world().set("1", World::Mood::Takes);
  start();
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->next_offset, Offset{5});
  ASSERT_TRUE(command(1, Command::Restart).has_value());
  ASSERT_TRUE(eventually([] { return world().count("1") == 20; }));
  EXPECT_EQ(world().distinct("1").front(), "1:5");
  ASSERT_TRUE(wait_for(dispatch_->remove(StreamId{1})));
  EXPECT_TRUE(eventually([&] { return dead_letters_->count(StreamId{1}) == 0; }));
}

TEST_F(DispatchTest, FullDeadLettersStopTheStreamAndLoseNothing) {
  world().set("1", World::Mood::Refuses);
  make_stream(1, 1, 10, R"({"rejected_in_a_row": 0})");
  dead_letter_limits_.count_max = 3;
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->status == StreamStatus::Error; }));
  EXPECT_NE(catalog_.get(StreamId{1})->last_error.find("3 dead letters"), std::string::npos);
  world().set("1", World::Mood::Takes);
  ASSERT_TRUE(command(1, Command::Restart).has_value());
  ASSERT_TRUE(eventually([] { return world().count("1") == 22; }));
}

TEST_F(DispatchTest, SkippedRecordsAreInTheDeadLetters) {
  make_stream(1, 1, 10);
  start();
  ASSERT_TRUE(command(1, Command::Pause).has_value());
  store(1, 25);
  ASSERT_TRUE(wait_for(dispatch_->skip(StreamId{1}, Offset{12}, true)).has_value());
  ASSERT_TRUE(eventually([&] { return dispatch_->snapshot(StreamId{1})->dead_letters == 12; }));
  ASSERT_TRUE(command(1, Command::Resume).has_value());
  ASSERT_TRUE(eventually([] { return world().count("1") == 13; }));
  EXPECT_EQ(wait_for(dispatch_->skip(StreamId{1}, Offset{20}, true)).error().code,
            ErrorCode::Conflict);
}

TEST_F(DispatchTest, HaltIsErrorUntilRestart) {
  world().set("1", World::Mood::Refuses);
  make_stream(1, 1, 10, R"({"on_rejected": "halt"})");
  start();
  store(1, 25);
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->status == StreamStatus::Error; }));
  EXPECT_NE(catalog_.get(StreamId{1})->last_error.find("400 no"), std::string::npos);
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->status, StreamStatus::Error);
  EXPECT_EQ(command(1, Command::Resume).error().code, ErrorCode::Conflict);
  world().set("1", World::Mood::Takes);
  const auto restarted = command(1, Command::Restart);
  ASSERT_TRUE(restarted.has_value());
  EXPECT_EQ(restarted->status, StreamStatus::Running);
  EXPECT_EQ(catalog_.get(StreamId{1})->status, StreamStatus::Running);
  ASSERT_TRUE(eventually([] { return world().count("1") == 25; }));
}

TEST_F(DispatchTest, CommandsUnderLoadLoseNothingAndTheCatalogKnows) {
  make_stream(1, 1, 10);
  make_stream(2, 1, 10);
  start();
  std::promise<void> stored;
  std::thread producer([&] {
    for (int i = 0; i < 200; ++i) store(1, 50, 7);
    stored.set_value();
  });
  for (int i = 0; i < 50; ++i) {
    const auto paused = command(1, Command::Pause);
    ASSERT_TRUE(paused.has_value()) << paused.error().message;
    EXPECT_EQ(paused->status, StreamStatus::Paused);
    EXPECT_EQ(catalog_.get(StreamId{1})->status, StreamStatus::Paused);
    EXPECT_EQ(command(1, Command::Restart).error().code, ErrorCode::Conflict);
    const auto resumed = command(1, Command::Resume);
    ASSERT_TRUE(resumed.has_value()) << resumed.error().message;
    EXPECT_EQ(catalog_.get(StreamId{1})->status, StreamStatus::Running);
    ASSERT_TRUE(command(1, Command::Restart).has_value());
  }
  producer.join();
  ASSERT_TRUE(
      eventually([] { return world().count("1") == 10'000 && world().count("2") == 10'000; }));
  EXPECT_EQ(world().distinct("1"), all_records(1));
  EXPECT_EQ(world().distinct("2"), all_records(1));
  EXPECT_EQ(command(9, Command::Pause).error().code, ErrorCode::NotFound);
}

TEST_F(DispatchTest, NextLifeGoesOnExactlyWhereTheLastOneStopped) {
  make_stream(1, 1, 10);
  make_stream(2, 1, 64);
  for (int life = 0; life < 5; ++life) {
    start();
    store(1, 500, 7);
    ASSERT_TRUE(
        eventually([&] { return world().count("1") > 450u * static_cast<unsigned>(life); }));
    stop();
  }
  start();
  ASSERT_TRUE(eventually([] { return world().count("1") == 2500 && world().count("2") == 2500; }));
  EXPECT_EQ(world().distinct("1"), all_records(1));
  EXPECT_EQ(world().distinct("2"), all_records(1));
  ASSERT_TRUE(eventually([&] { return dispatch_->snapshot(StreamId{2})->delivered == 2500; }));
  stop();
  EXPECT_EQ(world().count("1"), 2500u) << "an orderly stop repeats nothing";
}

TEST_F(DispatchTest, AbandonedBatchComesAgainUnderTheSameId) {
  world().set("1", World::Mood::TakesAndLosesTheAnswer);
  make_stream(1, 1, 10, R"({"retry": {"initial_ms": 3600000}})");
  start();
  store(1, 3, 1);
  ASSERT_TRUE(eventually([] { return world().attempts("1") == 1; }));
  stop(10);
  world().set("1", World::Mood::Takes);
  start();
  store(1, 4, 1);
  ASSERT_TRUE(eventually([] { return world().distinct("1").size() == 7; }));
  const auto received = world().received("1");
  ASSERT_GE(received.size(), 2u);
  EXPECT_EQ(received[0].webhook_id, received[1].webhook_id);
  EXPECT_EQ(received[0].records, received[1].records);
  EXPECT_EQ(world().count("1"), 7 + received[0].records.size());
}

TEST_F(DispatchTest, RemovedStreamIsGoneAlsoFromTheJournal) {
  make_stream(1, 1, 10);
  make_stream(2, 1, 10);
  start();
  store(1, 95);
  ASSERT_TRUE(eventually([] { return world().count("1") == 95 && world().count("2") == 95; }));
  world().set("1", World::Mood::Blocks);
  store(1, 5);
  ASSERT_TRUE(eventually([] { return world().attempts("1") == 11; }));
  ASSERT_TRUE(catalog_.delete_stream(OrganisationId{1}, StreamId{1}).has_value());
  EXPECT_TRUE(wait_for(dispatch_->remove(StreamId{1})).has_value());
  EXPECT_EQ(dispatch_->snapshot(StreamId{1}), std::nullopt);
  EXPECT_EQ(wait_for(dispatch_->remove(StreamId{1})).error().code, ErrorCode::NotFound);
  store(1, 10);
  ASSERT_TRUE(eventually([] { return world().count("2") == 110; }));
  EXPECT_EQ(world().attempts("1"), 11u);
  stop();

  auto journal = Journal::open(root_ + "/journal", posix_file_system(), metrics_);
  ASSERT_TRUE(journal.has_value());
  EXPECT_EQ((*journal)->recovered(StreamId{1}), std::nullopt);
  EXPECT_EQ((*journal)->recovered(StreamId{2})->cursor, Offset{110});
}

TEST_F(DispatchTest, StreamsAreAddedWhileOthersRun) {
  make_stream(1, 1, 10);
  start();
  std::thread producer([&] {
    for (int i = 0; i < 100; ++i) store(1, 10);
  });
  for (std::uint64_t id = 2; id <= 6; ++id) {
    catalog::Stream stream = make_stream(id, 1, 10);
    dispatch_->add(stream);
  }
  producer.join();
  for (int id = 1; id <= 6; ++id) {
    ASSERT_TRUE(eventually([&] { return world().count(std::to_string(id)) == 1000; })) << id;
  }
}

TEST_F(DispatchTest, UnusableStreamIsErrorAndTheOthersRun) {
  catalog::Stream broken = make_stream(1, 1, 10);
  for (const char* destination : {"", "[]", "{}", R"({"connection_type": "Fake"})",
                                  R"({"connection_type": 5})", R"({"connection_type": "Fox"})"}) {
    broken.id = StreamId{broken.id.value() + 1};
    broken.destination = destination;
    catalog_.put(broken);
  }
  make_stream(20, 1, 10, R"({"timeout_ms": 1})");
  start();
  store(1, 95);
  ASSERT_TRUE(eventually([] { return world().count("1") == 95; }));
  for (const std::uint64_t id : {2, 3, 4, 5, 6, 7, 20}) {
    ASSERT_TRUE(eventually([&] {
      return dispatch_->snapshot(StreamId{id})->status == StreamStatus::Error;
    })) << id;
    EXPECT_NE(dispatch_->snapshot(StreamId{id})->last_error, "");
    EXPECT_EQ(catalog_.get(StreamId{id})->status, StreamStatus::Running) << "mended, it goes on";
    const auto restarted = command(id, Command::Restart);
    EXPECT_EQ(dispatch_->snapshot(StreamId{id})->status, StreamStatus::Error);
  }
  EXPECT_NE(dispatch_->snapshot(StreamId{20})->last_error.find("delivery.timeout_ms"),
            std::string::npos);
  ASSERT_TRUE(change(20, {.delivery = "{}"}).has_value());
  ASSERT_TRUE(eventually([] { return world().count("20") == 95; }));
}

TEST_F(DispatchTest, LockedCatalogStopsNoDelivery) {
  make_stream(1, 1, 10);
  start();
  catalog_.lock_up(true);
  store(1, 1000);
  ASSERT_TRUE(eventually([] { return world().count("1") == 1000; }));
  const auto paused = command(1, Command::Pause);
  ASSERT_FALSE(paused.has_value());
  EXPECT_EQ(paused.error().code, ErrorCode::Unavailable);
  catalog_.lock_up(false);
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->status == StreamStatus::Paused; }))
      << "it is told as soon as it listens";
}

// What failed to be written may come true after a crash: taking it back must be written as well.
TEST_F(DispatchTest, WhatIsTakenBackAfterAFailedWriteIsTheCatalogsToo) {
  make_stream(1, 1, 10);
  start();
  store(1, 10);
  ASSERT_TRUE(eventually([] { return world().count("1") == 10; }));
  ASSERT_TRUE(command(1, Command::Pause).has_value());
  ASSERT_TRUE(command(1, Command::Resume).has_value());
  catalog_.lock_up(true);
  ASSERT_FALSE(command(1, Command::Pause).has_value());
  catalog_.lock_up(false);
  const int before = catalog_.updates();
  ASSERT_TRUE(command(1, Command::Resume).has_value());
  EXPECT_GT(catalog_.updates(), before);
}

TEST_F(DispatchTest, ManyOrganisationsAndStreams) {
  for (std::uint64_t id = 1; id <= 300; ++id) make_stream(id, 1 + id % 100, 10);
  start();
  for (int round = 0; round < 5; ++round) {
    for (std::uint64_t organisation = 1; organisation <= 100; ++organisation) {
      store(organisation, 7);
    }
  }
  for (std::uint64_t id = 1; id <= 300; ++id) {
    ASSERT_TRUE(eventually([&] { return world().count(std::to_string(id)) == 35; })) << id;
    EXPECT_EQ(world().distinct(std::to_string(id)), all_records(1 + id % 100));
  }
  // The last answers may still be on their way to be counted.
  std::string text;
  EXPECT_TRUE(eventually([&] {
    text = metrics_.prometheus_text();
    return text.find("sluice_delivery_records_total 10500") != std::string::npos;
  })) << text;
  EXPECT_NE(text.find("sluice_streams{status=\"running\"} 300"), std::string::npos) << text;
}

TEST_F(DispatchTest, PausedStreamStaysPausedThroughARestartOfTheServer) {
  make_stream(1, 1, 10);
  start();
  store(1, 20);
  ASSERT_TRUE(eventually([] { return world().count("1") == 20; }));
  ASSERT_TRUE(command(1, Command::Pause).has_value());
  stop();
  start();
  store(1, 20);
  EXPECT_EQ(command(1, Command::Pause).error().code, ErrorCode::Conflict);
  EXPECT_EQ(dispatch_->snapshot(StreamId{1})->lag_records, 20u);
  ASSERT_TRUE(command(1, Command::Resume).has_value());
  ASSERT_TRUE(eventually([] { return world().count("1") == 40; }));
  EXPECT_EQ(world().distinct("1"), all_records(1));
}

TEST_F(DispatchTest, StopBeforeTheLoopsRanDoesNotHang) {
  make_stream(1, 1, 10);
  threads_ = std::make_unique<IoThreads>(2);
  pool_ = std::make_unique<WorkerPool>("catalog", 1);
  dead_letters_ = *catalog::open_dead_letters(root_ + "/dead-letters.db", {}, metrics_);
  connectors::ConnectorContext context{*static_cast<egress::HttpClient*>(nowhere()), clock_, ""};
  auto opened = Dispatch::open({root_ + "/journal"}, {*threads_,
                                                      posix_file_system(),
                                                      clock_,
                                                      log_,
                                                      catalog_,
                                                      *dead_letters_,
                                                      replays_,
                                                      *pool_,
                                                      metrics_,
                                                      {context, context},
                                                      &find_fake});
  ASSERT_TRUE(opened.has_value());
  dispatch_ = std::move(*opened);
  dispatch_->add(*catalog_.get(StreamId{1}));
  stop(10);
}

// ---- Over segment files ------------------------------------------------------------------------

class DispatchOverLocalLogTest : public DispatchTest {
 protected:
  DispatchOverLocalLogTest() { open_log(); }
  ~DispatchOverLocalLogTest() override { stop(); }

  void open_log() {
    local_.reset();
    auto opened = recordlog::open_local(
        {.directory = root_ + "/log", .partitions = 2, .segment_bytes = 64 * kKiB},
        {posix_file_system(), clock_, metrics_});
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    local_ = std::move(*opened);
    used_log_ = local_.get();
  }

  void put(OrganisationId organisation, const std::vector<std::string>& records) override {
    const auto payload = std::make_shared<std::vector<std::string>>(records);
    recordlog::AppendRequest request;
    // Usage among the events: these streams do not want it.
    for (const Kind kind : {Kind::Usage, Kind::Event}) {
      recordlog::NewRecords group{organisation, kind, {}};
      for (const std::string& record : *payload) group.records.push_back({record, {}});
      request.groups.push_back(std::move(group));
    }
    request.payload = payload;
    std::promise<bool> stored;
    used_log_->append(std::move(request),
                      [&](Result<void> result) { stored.set_value(result.has_value()); });
    ASSERT_TRUE(stored.get_future().get());
  }

  std::unique_ptr<recordlog::LocalLog> local_;
};

TEST_F(DispatchOverLocalLogTest, LivesOfLogAndDispatchGoOnWhereTheLastOnesStopped) {
  make_stream(1, 1, 64);
  make_stream(2, 1, 10);
  make_stream(3, 2, 100);
  for (int life = 0; life < 4; ++life) {
    start();
    for (int i = 0; i < 20; ++i) {
      store(1, 37, 37);
      store(2, 5, 5);
    }
    stop();
    open_log();
  }
  start();
  ASSERT_TRUE(eventually([] {
    return world().count("1") == 2960 && world().count("2") == 2960 && world().count("3") == 400;
  }));
  EXPECT_EQ(world().distinct("1"), all_records(1));
  EXPECT_EQ(world().distinct("2"), all_records(1));
  EXPECT_EQ(world().distinct("3"), all_records(2));
  ASSERT_TRUE(eventually([&] { return dispatch_->snapshot(StreamId{1})->lag_records == 0; }));
  stop();
  EXPECT_EQ(world().count("1"), 2960u);
}

TEST_F(DispatchOverLocalLogTest, BatchesThatAreNotHeldAreReadFromTheLogWhileTheyAreSent) {
  catalog::Stream large = make_stream(1, 1, 300);
  large.destination =
      R"({"connection_type": "Fake", "credentials": {"name": "1", "size": 300, "held": 200}})";
  catalog_.put(large);
  for (int life = 0; life < 4; ++life) {
    const bool blocks = life == 1;
    world().set("1", blocks ? World::Mood::Blocks : World::Mood::Takes);
    const std::size_t streamed = world().streamed("1");
    start();
    for (int i = 0; i < 20; ++i) store(1, 37, 37);
    ASSERT_TRUE(eventually([&] {
      return blocks ? world().streamed("1") > streamed : world().count("1") >= stored_[1];
    }));
    stop(10);
    open_log();
  }
  EXPECT_GT(world().streamed("1"), 5u);
  EXPECT_EQ(world().distinct("1"), all_records(1));
}

TEST_F(DispatchOverLocalLogTest, LogThatWasReplacedIsErrorLogTruncated) {
  make_stream(1, 1, 10);
  start();
  store(1, 50);
  ASSERT_TRUE(eventually([] { return world().count("1") == 50; }));
  stop();
  local_.reset();
  stdfs::remove_all(root_ + "/log");
  open_log();
  start();
  ASSERT_TRUE(eventually([&] { return catalog_.get(StreamId{1})->status == StreamStatus::Error; }));
  EXPECT_TRUE(catalog_.get(StreamId{1})->last_error.starts_with("LogTruncated"));
}

}  // namespace
}  // namespace sluice::dispatch
