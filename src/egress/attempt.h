#pragma once
// The time of one attempt, from its beginning to its deadline, the waiting in between, and how far
// it has come.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string_view>

#include "base/awaitable.h"
#include "base/clock.h"
#include "base/result.h"
#include "egress/fault.h"

namespace sluice::egress {

// Threads: the loop's. Outlives what holds its timer.
class Attempt {
 public:
  Attempt(boost::asio::io_context& loop, const Clock& clock, SteadyTime deadline);

  // Cancel it to wake the coroutine that waits.
  boost::asio::steady_timer& wake() { return wake_; }

  // Waits until it is woken or time is up; the caller looks which. False: the coroutine has been
  // cancelled and must not wait again.
  Awaitable<bool> wait();
  Awaitable<bool> wait_until(std::chrono::steady_clock::time_point sooner);

  SteadyTime deadline() const { return deadline_; }
  bool expired() const { return std::chrono::steady_clock::now() >= ends_; }
  // Moves the end, whatever the deadline was; and back.
  void end_after(std::chrono::seconds time) { ends_ = std::chrono::steady_clock::now() + time; }
  void end_at_deadline();

  void enter(Stage stage) { stage_ = stage; }
  Stage stage() const { return stage_; }

  Error timed_out(std::string_view doing) const;  // "timed out after 150 ms connecting to ..."
  static Error cancelled() { return {ErrorCode::Cancelled, "cancelled"}; }

 private:
  const Clock& clock_;
  const SteadyTime begun_;
  const SteadyTime deadline_;
  std::chrono::steady_clock::time_point ends_;  // on the loop's own clock
  boost::asio::steady_timer wake_;
  Stage stage_ = Stage::Lookup;
};

}  // namespace sluice::egress
