#pragma once
// The one budget of bytes that all bodies in memory share, and the queue of those that wait for it.

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "http/server.h"

namespace sluice::http {

// Owned by a loop; its turn comes as a call on that loop.
class BudgetWaiter {
 public:
  virtual ~BudgetWaiter() = default;
  virtual void on_lease(BodyLease lease) = 0;
};

// First come, first served, so that small bodies cannot starve a large one. A body larger than
// the whole budget is admitted once no other is in memory.
// Threads: any.
class BodyBudget : public std::enable_shared_from_this<BodyBudget> {
 public:
  explicit BodyBudget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Nothing when there is no room or others wait already: then wait().
  std::optional<BodyLease> try_take(std::uint64_t bytes);
  // Goes before those that wait: what holds memory must be able to finish.
  bool try_grow(BodyLease& lease, std::uint64_t bytes);

  struct Wait {
    std::uint64_t bytes;
    std::uint64_t held = 0;  // by a lease that is to grow: goes to the head of the queue
    boost::asio::io_context::executor_type executor;
    std::weak_ptr<BudgetWaiter> waiter;  // expired: skipped
  };
  // Posts waiter->on_lease() with a lease of `bytes` as soon as there is room.
  void wait(Wait wait);

  // No loop is posted to any more once this has returned.
  void close();

  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  friend class BodyLease;
  bool reserve(std::uint64_t bytes, std::uint64_t held);
  void give_back(std::uint64_t bytes);
  void admit_waiters() SLUICE_REQUIRES(mutex_);

  const std::uint64_t bytes_max_;
  // Sequentially consistent, both: a waiter counts itself and then looks for room, a giver makes
  // room and then looks for waiters, so one of them sees the other.
  std::atomic<std::uint64_t> used_ = 0;
  std::atomic<std::size_t> waiting_ = 0;
  Mutex mutex_;
  std::deque<Wait> waits_ SLUICE_GUARDED_BY(mutex_);
  bool closed_ SLUICE_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::http
