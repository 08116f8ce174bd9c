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
  Reads& reads = runner->is_replay() ? replay_reads_ : reads_;
  reads.push_back(std::move(runner));
  post_turn();
}

void DispatchLoop::post_turn() {
  if ((reads_.empty() && replay_reads_.empty()) || std::exchange(turn_posted_, true)) return;
  boost::asio::post(loop_, [self = shared_from_this()] { self->take_turn(); });
}

void DispatchLoop::take_turn() {
  if (shared_->memory_bytes >= shared_->memory_bytes_max) {
    wait_for_memory();
    return;
  }
  turn_posted_ = false;
  Reads& reads = reads_.empty() ? replay_reads_ : reads_;
  const auto runner = std::move(reads.front());
  reads.pop_front();
  if (runner->held_back()) {
    hold_back(runner);
    return post_turn();
  }
  runner->read();
  // Where memory is short one stream after the other completes its batch: all at a time, none
  // might ever.
  if (memory_is_short() && !reads.empty() && reads.back() == runner) {
    reads.pop_back();
    reads.push_front(runner);
  }
  post_turn();
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
