#pragma once
// Does for a StreamMachine what that asks for, and tells it what came of it. Internal to dispatch.

#include <atomic>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/worker_pool.h"
#include "catalog/attempts.h"
#include "catalog/catalog.h"
#include "catalog/dead_letters.h"
#include "catalog/replays.h"
#include "connectors/connector.h"
#include "dispatch/dispatch.h"
#include "dispatch/journal.h"
#include "dispatch/log_source.h"
#include "dispatch/parked_letters.h"
#include "dispatch/start_pacer.h"
#include "dispatch/stream_machine.h"
#include "dispatch/stream_setup.h"
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
  Gauge in_flight_bytes, full_streams, held_back;
  Counter journal_lost;
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

class MachineRunner;

// What all runners use. Shared by them, because handlers that never ran may outlive the Dispatch;
// the references are good until Dispatch::stop() has returned.
struct Shared {
  Shared(const Settings& settings, const Dispatch::Dependencies& dependencies,
         std::unique_ptr<Journal> journal_in)
      : memory_bytes_max(settings.memory_bytes_max),
        stream_memory_bytes_max(settings.stream_memory_bytes_max),
        clock(dependencies.clock),
        log(dependencies.log),
        catalog(dependencies.catalog),
        dead_letters(dependencies.dead_letters),
        replays(dependencies.replays),
        catalog_pool(dependencies.catalog_pool),
        find_connector(dependencies.find_connector),
        journal(std::move(journal_in)),
        attempts(dependencies.attempts),
        alerts(dependencies.alerts),
        retention(settings.retention),
        metrics(dependencies.metrics) {}

  const std::int64_t memory_bytes_max;
  const std::uint64_t stream_memory_bytes_max;
  const Clock& clock;
  recordlog::RecordLog& log;
  catalog::Catalog& catalog;
  catalog::DeadLetters& dead_letters;
  catalog::Replays& replays;
  WorkerPool& catalog_pool;
  const connectors::ConnectorDescriptor* (*find_connector)(std::string_view type);
  const std::unique_ptr<Journal> journal;
  // What the streams of one organisation use together of used_bytes; its runners share it.
  struct Held {
    std::atomic<std::int64_t> bytes = 0;
    // The one that may complete its batch although it is much.
    std::atomic<const MachineRunner*> completing = nullptr;
  };
  std::shared_ptr<Held> held_by(OrganisationId organisation);
  // Where the process before left the stream (or catalog::replay_key()): the journal's entry, or
  // the dead letters' state if that is further.
  std::optional<JournalEntry> recovered(StreamId key) const;
  // What was settled beyond that, as far as it is known.
  SettledAhead recovered_ahead(StreamId key) const;
  std::unordered_map<StreamId, ParkedState> parked_states;  // before the first stream begins
  catalog::AttemptLog* const attempts;                      // may be null
  AlertSink* const alerts;                                  // may be null
  const Milliseconds retention;                             // of the log
  DispatchMetrics metrics;
  StartPacer pacer;
  std::atomic<std::int64_t> memory_bytes = 0;  // of the chunks that streams hold
  std::atomic<std::int64_t> used_bytes = 0;    // of these, what does not merely wait
  Pending streams;                             // that have not stopped
  Pending catalog_writes;

 private:
  Mutex held_mutex_;
  std::unordered_map<OrganisationId, std::weak_ptr<Held>> held_ SLUICE_GUARDED_BY(held_mutex_);
};

// The runner's place among the others of its loop.
class ReadQueue {
 public:
  virtual ~ReadQueue() = default;
  // In turn, read() will be called; of replays when no stream wants to read.
  virtual void queue_read(std::shared_ptr<MachineRunner> runner) = 0;
};

// A stream's own way, or a replay beside it. Threads: its loop's, except the constructor.
class MachineRunner : public std::enable_shared_from_this<MachineRunner> {
 public:
  virtual ~MachineRunner();

  StreamId id() const { return id_; }  // of the stream
  OrganisationId organisation() const { return organisation_; }
  virtual bool is_replay() const { return false; }

  // Whether it is to read nothing now, because its organisation uses as much memory as is left for
  // all. So however many requests one leaves unanswered, the others have room. One batch at a time
  // is completed even then. Asked at each of its turns.
  bool held_back();
  // Reads at most kTurnBytes or so, then queues up again if it wants more.
  virtual void read();
  bool reads_on() const { return reads_on_; }  // its last turn did not take all there was
  virtual void release_memory();
  virtual void stop();
  virtual void abandon();
  // Once the loop has stopped: lets go of the log and of the connectors without an attempt, as
  // handlers that never ran may keep this until the loop itself is destroyed.
  virtual void close();

 protected:
  MachineRunner(StreamId stream, OrganisationId organisation, std::shared_ptr<Shared> shared,
                boost::asio::io_context& loop, ReadQueue& reads);

  // `options` but for what follows from the stream, and `start` but for what its journal says. The
  // machine's begin() is still to come.
  // `kinds`: of the log's records that it reads; none: it reads something else.
  void make_machine(StreamSetup setup, std::optional<KindSet> kinds, StreamMachine::Options options,
                    StreamMachine::Start start);
  void change(StreamSetup setup, bool new_destination);
  void handle(Actions actions);
  // Abandons what is under way; nothing happens any more.
  void halt();
  // The journal forgets it.
  void forget(Journal::Done done);

  // After every event.
  virtual void moved() = 0;
  // When moved() is to be called at the latest, whatever the machine says.
  virtual std::optional<SteadyTime> wants_look() const { return std::nullopt; }
  // What the machine is to be told of an attempt. `batch` is as it was sent.
  virtual Actions judge(const connectors::RecordBatch& batch,
                        const connectors::SendOutcome& outcome);

  void queue_read();
  void arm_timer();
  SteadyTime now() const { return shared_->clock.steady(); }
  // The same object, as what it is.
  template <class Runner>
  std::shared_ptr<Runner> self() {
    return std::static_pointer_cast<Runner>(shared_from_this());
  }

  const StreamId id_;
  const OrganisationId organisation_;
  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<Shared::Held> held_;  // by the organisation
  boost::asio::io_context& loop_;
  std::optional<StreamMachine> machine_;  // from begin() on
  bool removed_ = false;
  bool read_queued_ = false;
  bool reads_on_ = false;

 private:
  void append(const JournalEntry& entry,
              Actions (StreamMachine::*event)(const Result<void>&, SteadyTime));
  void park(Actions::Park park);
  struct Streamed {
    LogSource source;
    connectors::RecordBatch batch;  // with it
  };
  struct Attempt {
    const connectors::RecordBatch* batch;
    std::unique_ptr<Streamed> streamed;  // null: the batch is held
    std::unique_ptr<connectors::Connector> connector;
    boost::asio::cancellation_signal cancel;
    SteadyTime begun;
    WallTime begun_wall;
  };
  void send(const connectors::RecordBatch& batch);
  void on_sent(const std::shared_ptr<Attempt>& attempt, const connectors::SendOutcome& outcome);
  std::unique_ptr<Streamed> with_source(const connectors::RecordBatch& batch) const;
  void cancel_attempts();
  void close_readers();
  void account();
  bool is_to_wait() const;

  ReadQueue& reads_;
  std::minstd_rand random_;
  StreamId key_;  // in the journal
  struct Way {    // to the destination
    std::function<std::unique_ptr<connectors::Connector>()> make_connector;
    Milliseconds timeout{0};
    std::string host = {};
    std::vector<std::unique_ptr<connectors::Connector>> idle = {};  // the one used last comes last
  };
  Way way_;
  std::optional<Way> next_way_;                               // instead, from the next attempt on
  std::vector<std::shared_ptr<Attempt>> attempts_under_way_;  // shared with their handlers
  std::unique_ptr<recordlog::Reader> reader_;
  std::optional<KindSet> kinds_;
  boost::asio::steady_timer timer_;
  std::optional<SteadyTime> timer_at_;
  std::shared_ptr<catalog::AttemptLog::Stream> attempts_;  // null: none was kept yet
  bool counted_as_stopped_ = false;
  std::int64_t memory_bytes_ = 0;
  std::int64_t used_bytes_ = 0;
  bool is_full_ = false;
  bool is_held_back_ = false;
};

}  // namespace sluice::dispatch
