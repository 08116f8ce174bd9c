#include "egress/wait.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace sluice::egress {

namespace asio = boost::asio;

Awaitable<bool> wait_for_wake(asio::steady_timer& wake) {
  boost::system::error_code ignored;
  co_await wake.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() == asio::cancellation_type::none;
}

std::chrono::steady_clock::time_point loop_time(SteadyTime deadline, const Clock& clock) {
  return std::chrono::steady_clock::now() + (deadline - clock.steady());
}

}  // namespace sluice::egress
