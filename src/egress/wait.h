#pragma once
// Waiting in a coroutine for something that happens in a library's callback.

#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "base/awaitable.h"
#include "base/clock.h"

namespace sluice::egress {

// Waits until `wake` expires or somebody cancels or moves it, whichever is first; the caller looks
// which. False: the coroutine has been cancelled and must not wait again. `wake` outlives it.
Awaitable<bool> wait_for_wake(boost::asio::steady_timer& wake);

// `deadline` on the loop's own clock. Expired ones give a point in the past.
std::chrono::steady_clock::time_point loop_time(SteadyTime deadline, const Clock& clock);

}  // namespace sluice::egress
