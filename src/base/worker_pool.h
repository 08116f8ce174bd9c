#pragma once
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string>
#include <type_traits>
#include <utility>

#include "base/awaitable.h"

namespace sluice {

// A few named threads for calls that block (SQLite, files), so that I/O threads never do.
class WorkerPool {
 public:
  // `name` shows in `top -H`; 15 characters at most.
  WorkerPool(const std::string& name, std::size_t threads);
  ~WorkerPool();  // runs what is queued, then joins

  // Runs `function` on the pool and resumes the caller on its own executor with the result.
  // `function` must not throw. The caller's executor must keep running until then.
  template <class Function>
  Awaitable<std::invoke_result_t<Function>> run(Function function) {
    using Value = std::invoke_result_t<Function>;
    return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&, void(Value)>(
        [this](auto handler, Function work) {
          boost::asio::post(
              pool_, [handler = std::move(handler), work = std::move(work)]() mutable {
                const auto home = boost::asio::get_associated_executor(handler);
                boost::asio::post(home, [handler = std::move(handler), value = work()]() mutable {
                  handler(std::move(value));
                });
              });
        },
        boost::asio::use_awaitable, std::move(function));
  }

  template <class Function>
  void post(Function function) {
    boost::asio::post(pool_, std::move(function));
  }

 private:
  boost::asio::thread_pool pool_;
};

}  // namespace sluice
