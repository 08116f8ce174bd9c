// The attempts log on SQLite: what is told waits in the queue, a thread writes it once a second.

#include "catalog/attempts.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

#include "base/logging.h"
#include "base/mutex.h"
#include "base/threads.h"
#include "catalog/attempt_queue.h"
#include "catalog/sqlite/attempt_store.h"

namespace sluice::catalog {
namespace {

constexpr std::chrono::milliseconds kBetweenWrites{1000};
constexpr std::uint64_t kBytesAWrite = 2 << 20;  // then whoever wants to read has his turn

class SqliteAttempts final : public AttemptLog {
 public:
  SqliteAttempts(Settings settings, std::span<const StreamId> streams, Metrics& metrics)
      : settings_(std::move(settings)),
        streams_(streams.begin(), streams.end()),
        queue_(std::make_shared<AttemptQueue>(settings_, metrics)),
        file_bytes_(metrics.gauge("sluice_attempts_bytes", "Of the attempts log's file in use.")),
        lost_(metrics.counter("sluice_attempts_lost_total",
                              "Attempts that could not be written to the attempts log.")),
        thread_([this] { run(); }) {}

  ~SqliteAttempts() override {
    queue_->stop();
    thread_.join();
  }

  std::shared_ptr<Stream> stream(StreamId id) override { return queue_->stream(id); }

  Result<Page> list(StreamId id, std::optional<std::uint64_t> before,
                    std::uint32_t limit) override {
    write();
    return use<Page>([&](AttemptStore& store) { return store.list(id, before, limit); });
  }
  Result<AttemptSums> sums(StreamId id, WallTime since) override {
    write();
    return use<AttemptSums>([&](AttemptStore& store) { return store.sums(id, since); });
  }
  Result<void> forget(StreamId id) override {
    queue_->forget(id);
    const MutexLock writing(writing_mutex_);  // what was taken of it before is written by now
    return use<void>([&](AttemptStore& store) { return store.forget(id); });
  }

 private:
  void run() {
    name_this_thread("attempts");
    do {
      write();
    } while (queue_->wait(kBetweenWrites));
    write();
  }

  void write();
  void report(const Result<void>& done) SLUICE_REQUIRES(writing_mutex_);

  // Calls `work` with the open store. A damaged one is moved away, and begun anew once.
  template <class T, class Work>
  Result<T> use(Work work);
  Result<void> open() SLUICE_REQUIRES(store_mutex_);
  void move_away(const Error& why) SLUICE_REQUIRES(store_mutex_);

  const Settings settings_;
  const std::vector<StreamId> streams_;  // that there were at the start
  const std::shared_ptr<AttemptQueue> queue_;
  Gauge file_bytes_;
  Counter lost_;

  Mutex writing_mutex_;  // from taking out of the queue to having written; before store_mutex_
  bool failing_ SLUICE_GUARDED_BY(writing_mutex_) = false;
  Mutex store_mutex_;
  std::optional<AttemptStore> store_ SLUICE_GUARDED_BY(store_mutex_);
  bool begun_ SLUICE_GUARDED_BY(store_mutex_) = false;  // opened once in this process
  std::thread thread_;                                  // last: it uses all of the above
};

template <class T, class Work>
Result<T> SqliteAttempts::use(Work work) {
  const MutexLock lock(store_mutex_);
  for (bool again = false;; again = true) {
    Result<void> opened = open();
    Result<T> done = opened ? work(*store_) : Result<T>(opened.error());
    if (done || done.error().code != ErrorCode::Corruption || again) return done;
    move_away(done.error());
  }
}

Result<void> SqliteAttempts::open() {
  if (store_) return {};
  Result<AttemptStore> opened = AttemptStore::open(settings_);
  if (!opened) return opened.error();
  // Streams may have been deleted without us; what is made from now on is not in the list.
  if (!begun_) {
    const Result<void> kept = opened->keep_only(streams_);
    if (!kept) return kept.error();
  }
  begun_ = true;
  store_.emplace(*std::move(opened));
  return {};
}

void SqliteAttempts::move_away(const Error& why) {
  store_.reset();
  const std::string aside = settings_.path + ".damaged";
  const bool moved = std::rename(settings_.path.c_str(), aside.c_str()) == 0;
  for (const char* beside : {"-wal", "-shm"}) std::remove((settings_.path + beside).c_str());
  logging::warn("the attempts log is begun anew",
                {{"reason", why.message}, {"moved_to", moved ? aside : "nowhere"}});
}

void SqliteAttempts::write() {
  const MutexLock writing(writing_mutex_);
  const std::vector<TakenAttempts> taken = queue_->take();
  auto from = taken.begin();
  do {
    std::uint64_t bytes = 0;
    std::uint64_t attempts = 0;
    auto to = from;
    for (; to != taken.end() && bytes < kBytesAWrite; ++to) {
      bytes += to->bytes;
      attempts += to->attempts.size();
    }
    const std::span<const TakenAttempts> part(from, to);
    const Result<void> done = use<void>([&](AttemptStore& store) {
      const Result<void> written = part.empty() ? Result<void>{} : store.write(part);
      if (const auto used = store.bytes()) file_bytes_.set(static_cast<double>(*used));
      return written;
    });
    report(done);
    if (!done) lost_.add(static_cast<double>(attempts));
    queue_->written(bytes);
    from = to;
  } while (from != taken.end());
}

void SqliteAttempts::report(const Result<void>& done) {
  if (done.has_value() != failing_) return;
  failing_ = !done.has_value();
  if (failing_) {
    logging::warn("the attempts log cannot be written, deliveries go on",
                  {{"error", done.error().message}});
  } else {
    logging::info("the attempts log is written again");
  }
}

}  // namespace

std::unique_ptr<AttemptLog> open_attempts(const AttemptLog::Settings& settings,
                                          std::span<const StreamId> streams, Metrics& metrics) {
  return std::make_unique<SqliteAttempts>(settings, streams, metrics);
}

}  // namespace sluice::catalog
