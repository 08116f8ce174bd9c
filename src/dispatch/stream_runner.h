#pragma once
// One stream at work: its machine, what the catalog is told of it, and its replay. Internal to
// dispatch.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dispatch/alert_watch.h"
#include "dispatch/machine_runner.h"
#include "dispatch/replay_runner.h"
#include "dispatch/stream_row.h"

namespace sluice::dispatch {

// Threads: its loop's, except snapshot() and the constructor.
class StreamRunner final : public MachineRunner {
 public:
  StreamRunner(catalog::Stream row, std::shared_ptr<Shared> shared, boost::asio::io_context& loop,
               ReadQueue& reads);
  ~StreamRunner() override;

  void begin(const connectors::ConnectorContext& context, filters::Evaluator& evaluator);
  void on_appended(Offset end);
  void release_memory() override;
  Result<void> command(Command command);
  Result<void> skip(Offset to, bool park);
  void change(const catalog::Stream& changed, const connectors::ConnectorContext& context);
  void stop() override;
  void abandon() override;
  void close() override;
  // Ends everything; `done` when the journal has forgotten the stream.
  void remove(Journal::Done done);

  // As Dispatch::replay().
  Result<void> replay(const catalog::Stream& stream, catalog::Replay replay,
                      const connectors::ConnectorContext& context, filters::Evaluator& evaluator);
  // What a former process began goes on or, where it must not any more, is cancelled.
  void go_on_with(const catalog::Stream& stream, catalog::Replay replay,
                  const connectors::ConnectorContext& context, filters::Evaluator& evaluator);
  // As Dispatch::cancel_replay().
  void cancel_replay(ReplayId replay, std::function<void(Result<void>)> done);
  std::optional<ReplayProgress> replay_progress() const;  // threads: any

  // As Dispatch::begin_hand_over(); standing() holds when `done` has been called.
  void begin_hand_over(std::function<void(Result<void>)> done);
  void end_hand_over(std::optional<StreamId> successor);
  Dispatch::Standing standing() const;  // threads: any

  // Calls `done` when the catalog has the state as it is now.
  void await_catalog(std::function<void(Result<void>)> done);

  StreamSnapshot snapshot() const;  // threads: any

 private:
  void moved() override;
  std::optional<SteadyTime> wants_look() const override;
  void log_error() const;
  void publish();
  std::shared_ptr<ReplayRunner> begin_replay(const catalog::Stream& stream, catalog::Replay replay,
                                             const connectors::ConnectorContext& context,
                                             filters::Evaluator& evaluator);
  void steer_replay();
  std::shared_ptr<ReplayRunner> replay() const;

  RowState state() const { return row_state(*machine_, now()); }
  // A write that failed may come true after a crash, until one succeeds.
  bool catalog_is_outdated() const { return catalog_failing_ || state() != catalog_has_; }
  void write_catalog_if_due();
  void write_catalog();
  void catalog_written(const Result<void>& result);

  ReadQueue& reads_;
  catalog::Stream row_;                  // until begin()
  std::optional<AlertWatch> watch_;      // from begin() on
  std::uint32_t settings_revision_ = 0;  // of the newest row seen

  RowState catalog_has_;
  RowState catalog_writes_;  // while catalog_busy_
  bool catalog_busy_ = false;
  bool catalog_failing_ = false;
  SteadyTime catalog_not_before_;  // of the next write that nobody waits for
  std::vector<std::function<void(Result<void>)>> catalog_waiters_;
  std::size_t catalog_waiters_served_ = 0;  // by the write under way

  bool in_error_;  // and the log says so
  bool stopping_ = false;

  // Not None: commands are refused.
  enum class HandOver : std::uint8_t { None, UnderWay, Done };
  HandOver hand_over_;
  std::function<void(Result<void>)> hand_over_waiter_;  // until it is closed

  mutable Mutex mutex_;
  struct Published {
    StreamSnapshot snapshot;
    std::optional<WallTime> oldest_stored;
    std::optional<std::pair<Offset, Offset>> in_doubt;
  } published_ SLUICE_GUARDED_BY(mutex_);
  std::shared_ptr<ReplayRunner> replay_ SLUICE_GUARDED_BY(mutex_);  // under way; null: none
};

}  // namespace sluice::dispatch
