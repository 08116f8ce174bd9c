#include "egress/attempt.h"

#include <fmt/format.h>

#include <algorithm>

#include "egress/wait.h"

namespace sluice::egress {

Attempt::Attempt(boost::asio::io_context& loop, const Clock& clock, SteadyTime deadline)
    : clock_(clock),
      begun_(clock.steady()),
      deadline_(deadline),
      ends_(loop_time(deadline, clock)),
      wake_(loop) {}

Awaitable<bool> Attempt::wait() { return wait_until(ends_); }

void Attempt::end_at_deadline() { ends_ = loop_time(deadline_, clock_); }

Awaitable<bool> Attempt::wait_until(std::chrono::steady_clock::time_point sooner) {
  wake_.expires_at(std::min(sooner, ends_));
  return wait_for_wake(wake_);
}

Error Attempt::timed_out(std::string_view doing) const {
  using std::chrono::milliseconds;
  const auto waited = std::chrono::duration_cast<milliseconds>(clock_.steady() - begun_);
  return {ErrorCode::Timeout, fmt::format("timed out after {} ms {}", waited.count(), doing)};
}

}  // namespace sluice::egress
