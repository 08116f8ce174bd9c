#pragma once
// The runners of one I/O thread: wakes them, and lets them read in turn within the memory budget.
// Internal to dispatch.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "dispatch/stream_runner.h"
#include "dispatch/turn_pacer.h"
#include "filters/filter.h"

namespace sluice::dispatch {

// Threads: its loop's, except the constructor and post_appended().
class DispatchLoop final : public ReadQueue, public std::enable_shared_from_this<DispatchLoop> {
 public:
  DispatchLoop(boost::asio::io_context& loop, connectors::ConnectorContext context,
               std::shared_ptr<Shared> shared);

  boost::asio::io_context& loop() { return loop_; }

  const connectors::ConnectorContext& context() const { return context_; }
  filters::Evaluator& evaluator() { return evaluator_; }

  void begin(std::shared_ptr<StreamRunner> runner);
  void forget(const StreamRunner& runner);
  void stop();
  void abandon();

  // One message to the loop for all that comes before the loop gets to it.
  void post_appended(std::span<const recordlog::AppendObserver::Appended> appended);

  void queue_read(std::shared_ptr<MachineRunner> runner) override;

 private:
  using Runners = std::vector<std::shared_ptr<StreamRunner>>;

  void drain_inbox();
  void post_turn();
  void take_turn();
  std::shared_ptr<MachineRunner> next_in_turn();
  void await_round(SteadyTime until);
  bool memory_is_short() const;
  void wait_for_memory();
  void hold_back(std::shared_ptr<MachineRunner> runner);

  boost::asio::io_context& loop_;
  const connectors::ConnectorContext context_;
  const std::shared_ptr<Shared> shared_;
  filters::Evaluator evaluator_;

  std::unordered_map<OrganisationId, Runners> runners_;
  struct Waiting {
    std::shared_ptr<MachineRunner> runner;
    SteadyTime since;
  };
  using Reads = std::deque<std::shared_ptr<MachineRunner>>;
  // At most one entry a runner, in one of the three.
  std::deque<Waiting> paced_reads_;  // may have little to read
  Reads reads_;                      // go on: their last turn did not take all
  Reads replay_reads_;               // served when none of reads_ waits
  TurnPacer pacer_;
  boost::asio::steady_timer round_timer_;
  bool awaits_round_ = false;
  bool paced_was_last_ = false;
  bool turn_posted_ = false;
  bool stopping_ = false;
  boost::asio::steady_timer memory_timer_;
  Reads held_back_;  // in no other queue; they queue up again together
  boost::asio::steady_timer held_back_timer_;

  Mutex mutex_;
  std::vector<recordlog::AppendObserver::Appended> inbox_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::dispatch
