#pragma once
// Runs one coroutine on a loop to its end.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>

#include "base/awaitable.h"

namespace sluice::egress::testing {

// `result` outlives it. (co_spawn itself wants values that can be made from nothing.)
template <class T>
Awaitable<void> store(Awaitable<T> coroutine, std::optional<T>& result) {
  result.emplace(co_await std::move(coroutine));
}

template <class T>
T run(boost::asio::io_context& loop, Awaitable<T> coroutine) {
  std::optional<T> result;
  boost::asio::co_spawn(loop, store(std::move(coroutine), result), [&](std::exception_ptr thrown) {
    if (thrown) std::rethrow_exception(thrown);
    loop.stop();
  });
  loop.restart();
  loop.run();
  return std::move(*result);
}

}  // namespace sluice::egress::testing
