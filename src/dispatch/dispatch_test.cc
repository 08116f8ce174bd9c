#include "dispatch/dispatch.h"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "base/units.h"
#include "dispatch/fake_log.h"
#include "dispatch/journal.h"
#include "recordlog/local/local_log.h"

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using catalog::StreamStatus;
namespace stdfs = std::filesystem;

// ---- A destination and a connector to it -------------------------------------------------------

// What the streams' destinations are like and what reached them. Threads: any.
class World {
 public:
  enum class Mood : std::uint8_t { Takes, Fails, Refuses, Blocks, TakesAndLosesTheAnswer };
  struct Received {
    std::string webhook_id;
    std::optional<Offset> previous;
    std::vector<std::string> records;
  };

  void set(const std::string& name, Mood mood) {
    const MutexLock lock(mutex_);
    places_[name].mood = mood;
  }
  Mood mood(const std::string& name) {
    const MutexLock lock(mutex_);
    return places_[name].mood;
  }
  void receive(const std::string& name, const connectors::RecordBatch& batch) {
    Received received{batch.webhook_id, batch.previous, {}};
    for (const connectors::RecordRun& run : batch.runs) {
      for (std::uint32_t i = run.begin; i < run.end; ++i) {
        received.records.emplace_back(run.chunk->record(i));
      }
    }
    const MutexLock lock(mutex_);
    places_[name].received.push_back(std::move(received));
  }
  void attempt_begins(const std::string& name) {
    const MutexLock lock(mutex_);
    ++places_[name].attempts;
  }
  std::size_t attempts(const std::string& name) {
    const MutexLock lock(mutex_);
    return places_[name].attempts;
  }
  std::vector<Received> received(const std::string& name) {
    const MutexLock lock(mutex_);
    return places_[name].received;
  }
  // In the order in which they first came.
  std::vector<std::string> distinct(const std::string& name) {
    std::vector<std::string> records;
    std::set<std::string> seen;
    for (const Received& each : received(name)) {
      for (const std::string& record : each.records) {
        if (seen.insert(record).second) records.push_back(record);
      }
    }
    return records;
  }
  std::size_t count(const std::string& name) {
    std::size_t count = 0;
    for (const Received& each : received(name)) count += each.records.size();
    return count;
  }
  void clear() {
    const MutexLock lock(mutex_);
    places_.clear();
  }

 private:
  struct Place {
    Mood mood = Mood::Takes;
    std::size_t attempts = 0;
    std::vector<Received> received;
  };
  Mutex mutex_;
  std::map<std::string, Place> places_ SLUICE_GUARDED_BY(mutex_);
};

World& world() {
  static World instance;
  return instance;
}

class FakeConnector final : public connectors::Connector {
 public:
  explicit FakeConnector(std::string name) : name_(std::move(name)) {}

  Awaitable<connectors::SendOutcome> send(const connectors::RecordBatch& batch,
                                          connectors::Deadline) override {
    using namespace connectors;
    world().attempt_begins(name_);
    const auto executor = co_await boost::asio::this_coro::executor;
    boost::asio::steady_timer timer(executor);
    if (world().mood(name_) == World::Mood::Blocks) {
      timer.expires_after(1h);
      co_await timer.async_wait(boost::asio::use_awaitable);  // until cancelled
    }
    timer.expires_after(std::chrono::microseconds(50));
    co_await timer.async_wait(boost::asio::use_awaitable);
    switch (world().mood(name_)) {
      case World::Mood::Takes:
        world().receive(name_, batch);
        co_return SendOutcome{Delivered{}, 200, true};
      case World::Mood::TakesAndLosesTheAnswer:
        world().receive(name_, batch);
        co_return SendOutcome{RetryLater{"the answer was lost", {}, 0}, 502, false};
      case World::Mood::Refuses: co_return SendOutcome{Rejected{"400 no"}, 400, true};
      case World::Mood::Fails:
      case World::Mood::Blocks: break;
    }
    co_return SendOutcome{RetryLater{"503 later", {}, 0}, 503, true};
  }
  Awaitable<Result<void>> check(connectors::Deadline) override { co_return Result<void>{}; }

 private:
  const std::string name_;
};

const connectors::ConnectorDescriptor kFake{
    .type = "Fake",
    .id = 1,
    .schema_json = "{}",
    .validate = nullptr,
    .limits =
        [](const nlohmann::json& credentials) {
          return connectors::BatchLimits{credentials.at("size").get<std::uint32_t>(), 1 << 20};
        },
    .create = [](const connectors::Destination& destination,
                 const connectors::ConnectorContext&) -> std::unique_ptr<connectors::Connector> {
      return std::make_unique<FakeConnector>(
          destination.settings.at("credentials").at("name").get<std::string>());
    },
};

const connectors::ConnectorDescriptor* find_fake(std::string_view type) {
  return type == kFake.type ? &kFake : nullptr;
}

// ---- A catalog ---------------------------------------------------------------------------------

class FakeCatalog final : public catalog::Catalog {
 public:
  void put(const catalog::Stream& stream) {
    const MutexLock lock(mutex_);
    streams_[stream.id] = stream;
  }
  std::optional<catalog::Stream> get(StreamId id) {
    const MutexLock lock(mutex_);
    const auto found = streams_.find(id);
    if (found == streams_.end()) return std::nullopt;
    return found->second;
  }
  void lock_up(bool locked) {
    const MutexLock lock(mutex_);
    locked_ = locked;
  }

  Result<void> register_organisations(std::span<const catalog::Organisation>) override {
    return {};
  }
  Result<std::vector<catalog::Organisation>> organisations() override {
    return std::vector<catalog::Organisation>{};
  }
  Result<std::optional<catalog::Organisation>> organisation(OrganisationId) override {
    return std::optional<catalog::Organisation>{};
  }
  Result<catalog::Stream> create_stream(catalog::Stream stream, WallTime) override {
    return stream;
  }
  Result<std::vector<catalog::Stream>> streams(OrganisationId) override { return all_streams(); }
  Result<std::vector<catalog::Stream>> all_streams() override {
    const MutexLock lock(mutex_);
    std::vector<catalog::Stream> all;
    for (const auto& [id, stream] : streams_) all.push_back(stream);
    return all;
  }
  Result<std::optional<catalog::Stream>> stream(OrganisationId, StreamId id) override {
    return get(id);
  }
  Result<std::optional<catalog::Stream>> stream(StreamId id) override { return get(id); }
  Result<catalog::Stream> change_stream(OrganisationId, StreamId id, const catalog::StreamChange&,
                                        WallTime) override {
    return *get(id);
  }
  Result<catalog::Stream> update_stream(const catalog::Stream& stream, WallTime) override {
    const MutexLock lock(mutex_);
    if (locked_) return Error{ErrorCode::Unavailable, "locked"};
    if (!streams_.contains(stream.id)) return Error{ErrorCode::NotFound, "no such stream"};
    streams_[stream.id] = stream;
    return stream;
  }
  Result<void> delete_stream(OrganisationId, StreamId id) override {
    const MutexLock lock(mutex_);
    streams_.erase(id);
    return {};
  }

 private:
  Mutex mutex_;
  std::map<StreamId, catalog::Stream> streams_ SLUICE_GUARDED_BY(mutex_);
  bool locked_ SLUICE_GUARDED_BY(mutex_) = false;
};

// ---- The fixture -------------------------------------------------------------------------------

bool eventually(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

class DispatchTest : public ::testing::Test {
 protected:
  DispatchTest() {
    std::string pattern = (stdfs::temp_directory_path() / "sluice-dispatch-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    world().clear();
  }
  ~DispatchTest() override {
    stop();
    stdfs::remove_all(root_);
  }

  // A server's life: its loops and its Dispatch, over the same log, catalog and journal.
  void start() {
    threads_ = std::make_unique<IoThreads>(2);
    pool_ = std::make_unique<WorkerPool>("catalog", 1);
    auto opened = Dispatch::open(
        {root_ + "/journal"}, {*threads_,
                               posix_file_system(),
                               clock_,
                               *used_log_,
                               catalog_,
                               *pool_,
                               metrics_,
                               // The fake connector looks at none of it.
                               {connectors::ConnectorContext{
                                    *static_cast<egress::HttpClient*>(nowhere()), clock_, "test"},
                                connectors::ConnectorContext{
                                    *static_cast<egress::HttpClient*>(nowhere()), clock_, "test"}},
                               &find_fake});
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    dispatch_ = std::move(*opened);
    const auto streams = catalog_.all_streams();
    for (const catalog::Stream& stream : *streams) dispatch_->add(stream);
    threads_->start();
  }
  void stop(std::uint32_t grace_ms = 5000) {
    if (!dispatch_) return;
    dispatch_->stop(grace_ms);
    threads_->stop_and_join();
    pool_.reset();
    dispatch_.reset();
    threads_.reset();
  }

  catalog::Stream make_stream(std::uint64_t id, std::uint64_t organisation, std::uint32_t size,
                              const std::string& delivery = "{}") {
    catalog::Stream stream;
    stream.id = StreamId{id};
    stream.organisation = OrganisationId{organisation};
    stream.type = 2;
    stream.destination = fmt::format(
        R"({{"connection_type": "Fake", "credentials": {{"name": "{}", "size": {}}}}})", id, size);
    stream.delivery = delivery;
    catalog_.put(stream);
    return stream;
  }

  // Records say which they are: "<organisation>:<number>".
  void store(std::uint64_t organisation, std::size_t count, std::size_t chunk = 100) {
    std::uint64_t& stored = stored_[organisation];
    while (count > 0) {
      std::vector<std::string> records;
      for (; records.size() < chunk && count > 0; --count) {
        records.push_back(fmt::format("{}:{}", organisation, stored++));
      }
      put(OrganisationId{organisation}, records);
    }
  }
  virtual void put(OrganisationId organisation, const std::vector<std::string>& records) {
    log_.store(organisation, Kind::Event, records, clock_.now());
  }
  std::vector<std::string> all_records(std::uint64_t organisation) {
    std::vector<std::string> records;
    for (std::uint64_t i = 0; i < stored_[organisation]; ++i) {
      records.push_back(fmt::format("{}:{}", organisation, i));
    }
    return records;
  }

  template <class T>
  T wait_for(Awaitable<T> awaitable) {
    std::promise<T> promise;
    boost::asio::co_spawn(
        threads_->loop(0),
        [](Awaitable<T> inner, std::promise<T>& result) -> Awaitable<void> {
          T value = co_await std::move(inner);
          result.set_value(std::move(value));
        }(std::move(awaitable), promise),
        boost::asio::detached);
    return promise.get_future().get();
  }
  Result<StreamSnapshot> command(std::uint64_t id, Command command) {
    return wait_for(dispatch_->command(StreamId{id}, command));
  }

  static void* nowhere() {
    static char place;
    return &place;
  }

  std::string root_;
  SystemClock clock_;
  FakeLog log_;
  recordlog::RecordLog* used_log_ = &log_;
  FakeCatalog catalog_;
  Metrics metrics_;
  std::map<std::uint64_t, std::uint64_t> stored_;
  std::unique_ptr<IoThreads> threads_;
  std::unique_ptr<WorkerPool> pool_;
  std::unique_ptr<Dispatch> dispatch_;
};

constexpr const char* kFastRetry = R"({"retry": {"initial_ms": 10, "max_ms": 20}})";

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

TEST_F(DispatchTest, RefusalIsErrorUntilRestart) {
  world().set("1", World::Mood::Refuses);
  make_stream(1, 1, 10);
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
      return catalog_.get(StreamId{id})->status == StreamStatus::Error;
    })) << id;
    EXPECT_NE(catalog_.get(StreamId{id})->last_error, "");
    const auto restarted = command(id, Command::Restart);
    EXPECT_EQ(dispatch_->snapshot(StreamId{id})->status, StreamStatus::Error);
  }
  EXPECT_NE(catalog_.get(StreamId{20})->last_error.find("delivery.timeout_ms"), std::string::npos);
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
  const std::string text = metrics_.prometheus_text();
  EXPECT_NE(text.find("sluice_delivery_records_total 10500"), std::string::npos) << text;
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
  connectors::ConnectorContext context{*static_cast<egress::HttpClient*>(nowhere()), clock_, ""};
  auto opened = Dispatch::open({root_ + "/journal"}, {*threads_,
                                                      posix_file_system(),
                                                      clock_,
                                                      log_,
                                                      catalog_,
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
