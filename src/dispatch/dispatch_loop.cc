#include "dispatch/dispatch_loop.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace sluice::dispatch {
namespace {

constexpr std::chrono::milliseconds kMemoryWait{10};

}  // namespace

DispatchLoop::DispatchLoop(boost::asio::io_context& loop, connectors::ConnectorContext context,
                           std::shared_ptr<Shared> shared)
    : loop_(loop),
      context_(std::move(context)),
      shared_(std::move(shared)),
      round_timer_(loop),
      memory_timer_(loop),
      held_back_timer_(loop) {}

void DispatchLoop::begin(std::shared_ptr<StreamRunner> runner) {
  // Before it looks at the log's end: what comes later is in the inbox.
  runners_[runner->organisation()].push_back(runner);
  runner->begin(context_, evaluator_);
  if (stopping_) runner->stop();
}

void DispatchLoop::forget(const StreamRunner& runner) {
  const auto found = runners_.find(runner.organisation());
  if (found == runners_.end()) return;
  std::erase_if(found->second, [&](const auto& each) { return each.get() == &runner; });
  if (found->second.empty()) runners_.erase(found);
}

void DispatchLoop::stop() {
  stopping_ = true;
  for (auto& [organisation, runners] : runners_) {
    for (auto& runner : runners) runner->stop();
  }
}

void DispatchLoop::abandon() {
  for (auto& [organisation, runners] : runners_) {
    for (auto& runner : runners) runner->abandon();
  }
}

void DispatchLoop::post_appended(std::span<const recordlog::AppendObserver::Appended> appended) {
  bool was_empty = false;
  {
    const MutexLock lock(mutex_);
    was_empty = inbox_.empty();
    inbox_.insert(inbox_.end(), appended.begin(), appended.end());
  }
  if (was_empty) {
    boost::asio::post(loop_, [self = shared_from_this()] { self->drain_inbox(); });
  }
}

void DispatchLoop::drain_inbox() {
  std::vector<recordlog::AppendObserver::Appended> inbox;
  {
    const MutexLock lock(mutex_);
    inbox.swap(inbox_);
  }
  for (const auto& appended : inbox) {
    const auto found = runners_.find(appended.organisation);
    if (found == runners_.end()) continue;
    for (auto& runner : found->second) runner->on_appended(appended.end);
  }
}

void DispatchLoop::queue_read(std::shared_ptr<MachineRunner> runner) {
  if (runner->is_replay()) {
    replay_reads_.push_back(std::move(runner));
  } else if (runner->reads_on()) {
    reads_.push_back(std::move(runner));
  } else {
    paced_reads_.push_back({std::move(runner), std::chrono::steady_clock::now()});
  }
  post_turn();
}

void DispatchLoop::post_turn() {
  const bool is_wanted =
      !reads_.empty() || !replay_reads_.empty() || (!paced_reads_.empty() && !awaits_round_);
  if (!is_wanted || std::exchange(turn_posted_, true)) return;
  boost::asio::post(loop_, [self = shared_from_this()] { self->take_turn(); });
}

void DispatchLoop::take_turn() {
  if (shared_->memory_bytes >= shared_->memory_bytes_max) {
    wait_for_memory();
    return;
  }
  turn_posted_ = false;
  const std::shared_ptr<MachineRunner> runner = next_in_turn();
  if (runner == nullptr) return;
  if (runner->held_back()) {
    hold_back(runner);
    return post_turn();
  }
  runner->read();
  // Where memory is short one stream after the other completes its batch: all at a time, none
  // might ever.
  Reads& reads = runner->is_replay() ? replay_reads_ : reads_;
  if (memory_is_short() && !reads.empty() && reads.back() == runner) {
    reads.pop_back();
    reads.push_front(runner);
  }
  post_turn();
}

// In turn from those that are paced and those that go on. Null: all who wait do so for a round.
std::shared_ptr<MachineRunner> DispatchLoop::next_in_turn() {
  const bool may_be_paced = !awaits_round_ && (reads_.empty() || !paced_was_last_);
  if (may_be_paced && !paced_reads_.empty()) {
    const SteadyTime now = std::chrono::steady_clock::now();
    const SteadyTime at = pacer_.next(now, paced_reads_.front().since);
    if (at <= now) {
      pacer_.taken();
      paced_was_last_ = true;
      std::shared_ptr<MachineRunner> runner = std::move(paced_reads_.front().runner);
      paced_reads_.pop_front();
      return runner;
    }
    await_round(at);
  }
  paced_was_last_ = false;
  Reads& reads = reads_.empty() ? replay_reads_ : reads_;
  if (reads.empty()) return nullptr;
  std::shared_ptr<MachineRunner> runner = std::move(reads.front());
  reads.pop_front();
  return runner;
}

void DispatchLoop::await_round(SteadyTime until) {
  awaits_round_ = true;
  round_timer_.expires_at(until);
  round_timer_.async_wait([self = shared_from_this()](const boost::system::error_code&) {
    self->awaits_round_ = false;
    self->post_turn();
  });
}

void DispatchLoop::hold_back(std::shared_ptr<MachineRunner> runner) {
  held_back_.push_back(std::move(runner));
  if (held_back_.size() > 1) return;  // the timer runs
  held_back_timer_.expires_after(kMemoryWait);
  held_back_timer_.async_wait([self = shared_from_this()](const boost::system::error_code&) {
    for (auto& each : std::exchange(self->held_back_, {})) self->queue_read(std::move(each));
  });
}

bool DispatchLoop::memory_is_short() const {
  return shared_->memory_bytes > shared_->memory_bytes_max / 2;
}

// Attempts under way end by their deadline and give theirs back; what merely waits does so now,
// until memory is no longer short: those that keep theirs get on.
void DispatchLoop::wait_for_memory() {
  for (auto& [organisation, runners] : runners_) {
    for (auto& runner : runners) {
      if (memory_is_short()) runner->release_memory();
    }
  }
  memory_timer_.expires_after(kMemoryWait);
  memory_timer_.async_wait(
      [self = shared_from_this()](const boost::system::error_code&) { self->take_turn(); });
}

}  // namespace sluice::dispatch
