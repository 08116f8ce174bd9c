#pragma once
// A Dispatch with fake destinations and a fake catalog, for the tests of this folder.

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "dispatch/dispatch.h"
#include "dispatch/fake_log.h"
#include "dispatch/journal.h"

namespace sluice::dispatch {

namespace stdfs = std::filesystem;

// ---- A destination and a connector to it -------------------------------------------------------

// What the streams' destinations are like and what reached them. Threads: any.
class World {
 public:
  // Holds: until it is in another mood.
  enum class Mood : std::uint8_t { Takes, Fails, Refuses, Blocks, Holds, TakesAndLosesTheAnswer };
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
  void was_streamed(const std::string& name) {
    const MutexLock lock(mutex_);
    ++places_[name].streamed;
  }
  std::size_t streamed(const std::string& name) {
    const MutexLock lock(mutex_);
    return places_[name].streamed;
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
  std::atomic<int> live_connectors = 0;

 private:
  struct Place {
    Mood mood = Mood::Takes;
    std::size_t attempts = 0;
    std::size_t streamed = 0;  // of these: batches that were not held
    std::vector<Received> received;
  };
  Mutex mutex_;
  std::map<std::string, Place> places_ SLUICE_GUARDED_BY(mutex_);
};

inline World& world() {
  static World instance;
  return instance;
}

class FakeConnector final : public connectors::Connector {
 public:
  explicit FakeConnector(std::string name) : name_(std::move(name)) { ++world().live_connectors; }
  ~FakeConnector() override { --world().live_connectors; }

  Awaitable<connectors::SendOutcome> send(const connectors::RecordBatch& given,
                                          connectors::Deadline) override {
    using namespace connectors;
    world().attempt_begins(name_);
    RecordBatch batch = given;
    // As often as a connector may, and half of it before that.
    for (int pass = 0; given.source != nullptr && pass < 3; ++pass) {
      given.source->rewind();
      batch.runs.clear();
      while (pass > 0 || 2 * batch.runs.size() < given.records) {
        const Result<std::optional<RecordRun>> run = co_await given.source->next();
        if (!run.has_value()) {
          co_return SendOutcome{RetryLater{run.error().message, {}, 0}, 502, false, Fault::Us};
        }
        if (!run->has_value()) break;
        batch.runs.push_back(**run);
      }
    }
    if (given.source != nullptr) world().was_streamed(name_);
    const auto executor = co_await boost::asio::this_coro::executor;
    boost::asio::steady_timer timer(executor);
    if (world().mood(name_) == World::Mood::Blocks) {
      timer.expires_after(std::chrono::hours(1));
      co_await timer.async_wait(boost::asio::use_awaitable);  // until cancelled
    }
    while (world().mood(name_) == World::Mood::Holds) {
      timer.expires_after(std::chrono::milliseconds(1));
      co_await timer.async_wait(boost::asio::use_awaitable);
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
      case World::Mood::Blocks:
      case World::Mood::Holds: break;
    }
    co_return SendOutcome{RetryLater{"503 later", {}, 0}, 503, true};
  }
  Awaitable<Result<void>> check(connectors::Deadline) override { co_return Result<void>{}; }

 private:
  const std::string name_;
};

inline const connectors::ConnectorDescriptor kFake{
    .type = "Fake",
    .id = 1,
    .schema_json = "{}",
    .validate = nullptr,
    .limits =
        [](const nlohmann::json& credentials) {
          connectors::BatchLimits limits{credentials.at("size").get<std::uint32_t>(), 1 << 20};
          if (credentials.contains("held")) limits.held_bytes_max = credentials.at("held");
          return limits;
        },
    .create = [](const connectors::Destination& destination,
                 const connectors::ConnectorContext&) -> std::unique_ptr<connectors::Connector> {
      return std::make_unique<FakeConnector>(
          destination.settings.at("credentials").at("name").get<std::string>());
    },
};

inline const connectors::ConnectorDescriptor* find_fake(std::string_view type) {
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
  int updates() {  // that succeeded
    const MutexLock lock(mutex_);
    return updates_;
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
  Result<catalog::Stream> change_stream(OrganisationId, StreamId id,
                                        const catalog::StreamChange& change, WallTime) override {
    const MutexLock lock(mutex_);
    catalog::Stream& row = streams_.at(id);
    ++row.settings_revision;
    if (change.filters) {
      row.filters = *change.filters;
      ++row.filter_revision;
    }
    if (change.destination) {
      row.destination = *change.destination;
      row.destination_revision = row.settings_revision;
    }
    if (change.delivery) row.delivery = *change.delivery;
    if (change.new_rendering) ++row.render_revision;
    return row;
  }
  Result<void> update_stream(const catalog::Stream& stream, WallTime) override {
    const MutexLock lock(mutex_);
    if (locked_) return Error{ErrorCode::Unavailable, "locked"};
    if (!streams_.contains(stream.id)) return Error{ErrorCode::NotFound, "no such stream"};
    catalog::Stream& row = streams_[stream.id];
    row.status = stream.status;
    row.status_before_pause = stream.status_before_pause;
    row.last_error = stream.last_error;
    row.remote_status = stream.remote_status;
    row.start = stream.start;
    row.park_to = stream.park_to;
    row.revision = stream.revision;
    row.applied_revision = stream.applied_revision;
    row.failing_s = stream.failing_s;
    ++updates_;
    return {};
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
  int updates_ SLUICE_GUARDED_BY(mutex_) = 0;
};

class FakeReplays final : public catalog::Replays {
 public:
  Result<catalog::Replay> create(catalog::Replay replay, WallTime) override {
    const MutexLock lock(mutex_);
    replay.id = ReplayId{replays_.size() + 1};
    replays_[replay.id] = replay;
    return replay;
  }
  Result<std::optional<catalog::Replay>> find(StreamId, ReplayId id) override {
    const MutexLock lock(mutex_);
    const auto found = replays_.find(id);
    return found == replays_.end() ? std::nullopt : std::optional(found->second);
  }
  Result<std::vector<catalog::Replay>> running() override {
    const MutexLock lock(mutex_);
    std::vector<catalog::Replay> found;
    for (const auto& [id, replay] : replays_) {
      if (replay.state == catalog::ReplayState::Running) found.push_back(replay);
    }
    return found;
  }
  Result<void> update(const catalog::Replay& replay) override {
    const MutexLock lock(mutex_);
    if (failures_ > 0) {
      --failures_;
      return Error{ErrorCode::Unavailable, "locked"};
    }
    replays_[replay.id] = replay;
    return {};
  }
  void fail_updates(int failures) {
    const MutexLock lock(mutex_);
    failures_ = failures;
  }

 private:
  Mutex mutex_;
  std::map<ReplayId, catalog::Replay> replays_ SLUICE_GUARDED_BY(mutex_);
  int failures_ SLUICE_GUARDED_BY(mutex_) = 0;
};

// ---- The fixture -------------------------------------------------------------------------------

inline bool eventually(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
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
    dead_letters_ =
        *catalog::open_dead_letters(root_ + "/dead-letters.db", dead_letter_limits_, metrics_);
    pool_ = std::make_unique<WorkerPool>("catalog", 1);
    auto opened =
        Dispatch::open({root_ + "/journal", memory_bytes_max_},
                       {*threads_,
                        posix_file_system(),
                        clock_,
                        *used_log_,
                        catalog_,
                        *dead_letters_,
                        replays_,
                        *pool_,
                        metrics_,
                        // The fake connector looks at none of it.
                        {connectors::ConnectorContext{*static_cast<egress::HttpClient*>(nowhere()),
                                                      clock_, "test"},
                         connectors::ConnectorContext{*static_cast<egress::HttpClient*>(nowhere()),
                                                      clock_, "test"}},
                        &find_fake});
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    dispatch_ = std::move(*opened);
    const auto streams = catalog_.all_streams();
    for (const catalog::Stream& stream : *streams) {
      std::optional<catalog::Replay> under_way;
      const auto running = replays_.running();
      for (const catalog::Replay& replay : *running) {
        if (replay.stream == stream.id) under_way = replay;
      }
      dispatch_->add(stream, under_way);
    }
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

  // Each on a host of its own, so that none waits for others to begin.
  static std::string destination(const std::string& name, std::uint32_t size) {
    return nlohmann::json{
        {"connection_type", "Fake"},
        {"credentials", {{"name", name}, {"size", size}, {"url", "http://" + name + ".test/"}}},
    }
        .dump();
  }

  catalog::Stream make_stream(std::uint64_t id, std::uint64_t organisation, std::uint32_t size,
                              const std::string& delivery = "{}") {
    catalog::Stream stream;
    stream.id = StreamId{id};
    stream.organisation = OrganisationId{organisation};
    stream.type = 2;
    stream.destination = destination(std::to_string(id), size);
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

  // What the API does: the catalog first.
  Result<StreamSnapshot> change(std::uint64_t id, const catalog::StreamChange& change) {
    const auto changed = catalog_.change_stream(OrganisationId{1}, StreamId{id}, change, {});
    return wait_for(dispatch_->change(*changed));
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
  std::int64_t memory_bytes_max_ = Settings().memory_bytes_max;  // of the next start()
  std::unique_ptr<IoThreads> threads_;
  std::unique_ptr<WorkerPool> pool_;
  catalog::DeadLetters::Limits dead_letter_limits_;  // of the next start()
  std::unique_ptr<catalog::DeadLetters> dead_letters_;
  FakeReplays replays_;
  std::unique_ptr<Dispatch> dispatch_;
};

inline constexpr const char* kFastRetry = R"({"retry": {"initial_ms": 10, "max_ms": 20}})";

}  // namespace sluice::dispatch
