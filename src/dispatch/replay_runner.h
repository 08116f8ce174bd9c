#pragma once
// A replay at work beside its stream: records of the log, or dead letters (redrive), are sent again
// under ids of their own. Internal to dispatch.

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "catalog/replays.h"
#include "dispatch/machine_runner.h"

namespace sluice::dispatch {

// Threads: its loop's, except progress() and the constructor.
class ReplayRunner final : public MachineRunner {
 public:
  // `over`: the catalog knows of its end; nothing happens any more.
  ReplayRunner(catalog::Replay replay, OrganisationId organisation, std::shared_ptr<Shared> shared,
               boost::asio::io_context& loop, ReadQueue& reads, std::function<void()> over);

  ReplayId replay() const { return replay_; }
  bool is_replay() const override { return true; }

  void begin(const catalog::Stream& stream, const connectors::ConnectorContext& context,
             filters::Evaluator& evaluator);
  void change(const catalog::Stream& changed, bool new_destination,
              const connectors::ConnectorContext& context);
  void read() override;
  // No attempt begins while `hold`.
  void hold(bool hold);
  // `done` when the catalog knows, or why it does not.
  void cancel(std::function<void(Result<void>)> done);
  bool ended() const { return removed_; }
  void remove();  // with its stream

  ReplayProgress progress() const;  // threads: any

 private:
  void moved() override;
  std::optional<SteadyTime> wants_look() const override { return flush_at_; }
  Actions judge(const connectors::RecordBatch& batch,
                const connectors::SendOutcome& outcome) override;

  StreamSetup set_up_as(const catalog::Stream& stream,
                        const connectors::ConnectorContext& context) const;
  Offset end_of_range() const;
  void letter_read(Offset asked, Result<recordlog::ReadResult> result);
  void flush_settled();
  void flushed(std::size_t count);  // of settled_; 0: that failed
  void conclude(catalog::ReplayState state);
  void write_end();

  const ReplayId replay_;
  const bool of_dead_letters_;
  const std::function<void()> over_;
  bool held_ = false;

  // Dead letters that arrived and are still to be removed.
  std::vector<Offset> settled_;
  bool flushing_ = false;
  std::optional<SteadyTime> flush_at_;  // again, after a failure
  std::uint64_t skipped_ = 0;           // records, when moved() looked last

  boost::asio::steady_timer end_timer_;
  std::vector<std::function<void(Result<void>)>> end_waiters_;

  mutable Mutex mutex_;
  catalog::Replay row_ SLUICE_GUARDED_BY(mutex_);
  bool waits_ SLUICE_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::dispatch
