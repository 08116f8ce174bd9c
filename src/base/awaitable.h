#pragma once
// Coroutines of the I/O threads. A coroutine takes its parameters by value or its declaration
// says who outlives whom; no capturing lambda is a coroutine; one co_await a statement.

#include <boost/asio/awaitable.hpp>

namespace sluice {

template <class T>
using Awaitable = boost::asio::awaitable<T>;

}  // namespace sluice
