#pragma once
// One stream at work: does for its StreamMachine what that asks for. Internal to dispatch.

#include <atomic>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/worker_pool.h"
#include "catalog/attempts.h"
#include "catalog/catalog.h"
#include "catalog/dead_letters.h"
#include "connectors/connector.h"
#include "dispatch/alert_watch.h"
#include "dispatch/dispatch.h"
#include "dispatch/journal.h"
#include "dispatch/stream_machine.h"
#include "filters/filter.h"
#include "recordlog/recordlog.h"

namespace sluice::dispatch {

struct DispatchMetrics {
  explicit DispatchMetrics(Metrics& metrics);
  Counter& attempts(const connectors::Decision& decision);
  Gauge& streams(catalog::StreamStatus status);

  Counter attempts_delivered, attempts_retry, attempts_rejected, attempts_misconfigured,
      attempts_gone;
  Counter records, bytes, parked;
  Histogram seconds;
  Gauge running, paused, error, disabled;
  Gauge in_flight_bytes;
};

// Counts what must have ended before Dispatch::stop() returns.
class Pending {
 public:
  void add() {
    const MutexLock lock(mutex_);
    ++count_;
  }
  void done() {
    const MutexLock lock(mutex_);
    if (--count_ == 0) ended_.notify_all();
  }
  // False: time ran out.
  bool wait_until(std::chrono::steady_clock::time_point until);

 private:
  Mutex mutex_;
  CondVar ended_;
  std::size_t count_ SLUICE_GUARDED_BY(mutex_) = 0;
};

// What all runners use. Shared by them, because handlers that never ran may outlive the Dispatch;
// the references are good until Dispatch::stop() has returned.
struct Shared {
  Shared(const Settings& settings, const Dispatch::Dependencies& dependencies,
         std::unique_ptr<Journal> journal_in)
      : memory_bytes_max(settings.memory_bytes_max),
        clock(dependencies.clock),
        log(dependencies.log),
        catalog(dependencies.catalog),
        dead_letters(dependencies.dead_letters),
        catalog_pool(dependencies.catalog_pool),
        find_connector(dependencies.find_connector),
        journal(std::move(journal_in)),
        attempts(dependencies.attempts),
        alerts(dependencies.alerts),
        retention(settings.retention),
        metrics(dependencies.metrics) {}

  const std::int64_t memory_bytes_max;
  const Clock& clock;
  recordlog::RecordLog& log;
  catalog::Catalog& catalog;
  catalog::DeadLetters& dead_letters;
  WorkerPool& catalog_pool;
  const connectors::ConnectorDescriptor* (*find_connector)(std::string_view type);
  const std::unique_ptr<Journal> journal;
  // Where the process before left the stream: the journal's entry, or the dead letters' state if
  // that is further.
  std::optional<JournalEntry> recovered(StreamId stream) const;
  std::unordered_map<StreamId, JournalEntry> parked_states;  // before the first stream begins
  catalog::AttemptLog* const attempts;                       // may be null
  AlertSink* const alerts;                                   // may be null
  const Milliseconds retention;                              // of the log
  DispatchMetrics metrics;
  std::atomic<std::int64_t> memory_bytes = 0;  // of the chunks that streams hold
  Pending streams;                             // that have not stopped
  Pending catalog_writes;
};

class StreamRunner;

// The runner's place among the others of its loop.
class ReadQueue {
 public:
  virtual ~ReadQueue() = default;
  // In turn, read() will be called.
  virtual void queue_read(std::shared_ptr<StreamRunner> runner) = 0;
};

// Threads: its loop's, except snapshot() and the constructor.
class StreamRunner : public std::enable_shared_from_this<StreamRunner> {
 public:
  StreamRunner(catalog::Stream row, std::shared_ptr<Shared> shared, boost::asio::io_context& loop,
               ReadQueue& reads);
  ~StreamRunner();

  StreamId id() const { return id_; }
  OrganisationId organisation() const { return organisation_; }

  void begin(const connectors::ConnectorContext& context, filters::Evaluator& evaluator);
  void on_appended(Offset end);
  // Reads at most kTurnBytes or so, then queues up again if it wants more.
  void read();
  void release_memory();
  Result<void> command(Command command);
  Result<void> skip(Offset to, bool park);
  void change(const catalog::Stream& changed, const connectors::ConnectorContext& context);
  void stop();
  void abandon();
  // Once the loop has stopped: lets go of the log, which handlers that never ran may outlive.
  void close() { reader_.reset(); }
  // Ends everything; `done` when the journal has forgotten the stream.
  void remove(Journal::Done done);

  // Calls `done` when the catalog has the state as it is now.
  void await_catalog(std::function<void(Result<void>)> done);

  StreamSnapshot snapshot() const;  // threads: any

 private:
  // What the catalog keeps of the machine's state.
  struct CatalogState {
    catalog::StreamStatus status = catalog::StreamStatus::Running;
    catalog::StreamStatus before_pause = catalog::StreamStatus::Running;
    std::string last_error;
    std::optional<int> remote_status;
    std::uint32_t revision = 1;
    Offset start;
    std::optional<Offset> park_to;
    std::uint32_t applied_revision = 0;
    std::uint32_t failing_s = 0;
    friend bool operator==(const CatalogState&, const CatalogState&) = default;
  };

  void handle(Actions actions);
  void append(const JournalEntry& entry,
              Actions (StreamMachine::*event)(const Result<void>&, SteadyTime));
  void park(Actions::Park park);
  void send(const connectors::RecordBatch& batch);
  void on_sent(const connectors::RecordBatch& batch, const connectors::SendOutcome& outcome);
  void queue_read();
  void arm_timer();
  void log_error() const;
  void account();
  void publish();
  SteadyTime now() const { return shared_->clock.steady(); }

  CatalogState catalog_state() const;
  void write_catalog_if_due();
  void write_catalog();
  void catalog_written(const Result<void>& result);

  const StreamId id_;
  const OrganisationId organisation_;
  const std::shared_ptr<Shared> shared_;
  boost::asio::io_context& loop_;
  ReadQueue& reads_;
  std::minstd_rand random_;

  catalog::Stream row_;                   // until begin()
  std::optional<StreamMachine> machine_;  // from begin() on
  std::optional<AlertWatch> watch_;       // likewise
  std::uint32_t settings_revision_ = 0;   // of the newest row seen
  std::unique_ptr<connectors::Connector> connector_;
  struct Next {  // instead of connector_ and timeout_, from the next attempt on
    std::unique_ptr<connectors::Connector> connector;
    Milliseconds timeout{0};
  };
  std::optional<Next> next_;
  std::unique_ptr<recordlog::Reader> reader_;
  Milliseconds timeout_{0};
  boost::asio::steady_timer timer_;
  std::optional<SteadyTime> timer_at_;
  boost::asio::cancellation_signal cancel_send_;
  std::shared_ptr<catalog::AttemptLog::Stream> attempts_;  // null: not kept
  SteadyTime sent_at_;
  WallTime sent_at_wall_;
  std::uint64_t sent_bytes_ = 0;
  bool read_queued_ = false;
  bool counted_as_stopped_ = false;
  bool removed_ = false;
  std::int64_t memory_bytes_ = 0;

  CatalogState catalog_has_;
  CatalogState catalog_writes_;  // while catalog_busy_
  bool catalog_busy_ = false;
  bool catalog_failing_ = false;
  SteadyTime catalog_not_before_;  // of the next write that nobody waits for
  std::vector<std::function<void(Result<void>)>> catalog_waiters_;
  std::size_t catalog_waiters_served_ = 0;  // by the write under way

  bool in_error_;  // and the log says so

  mutable Mutex mutex_;
  struct Published {
    StreamSnapshot snapshot;
    std::optional<WallTime> oldest_stored;
  } published_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::dispatch
