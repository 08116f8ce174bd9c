#pragma once
// The one budget of bytes that all bodies in memory share, and the queue of those that wait for it.

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>

#include "base/mutex.h"
#include "http/server.h"

namespace sluice::http {

// Owned by a loop; its turn comes as a call on that loop.
class BudgetWaiter {
 public:
  virtual ~BudgetWaiter() = default;
  virtual void on_lease(BodyLease lease) = 0;
};

// First come, first served, so that small bodies cannot starve a large one; but a share that has
// its quarter waits for itself alone. A body larger than all of it is admitted once no other is in
// memory.
// Threads: any.
class BodyBudget : public std::enable_shared_from_this<BodyBudget> {
 public:
  explicit BodyBudget(std::uint64_t bytes_max)
      : bytes_max_(bytes_max), share_bytes_max_(bytes_max / 4) {}

  // Nothing when there is no room or others wait already: then wait().
  std::optional<BodyLease> try_take(std::uint64_t bytes, BodyShare share = kEveryones);
  // Goes before those that wait: what holds memory must be able to finish. What is still being
  // received grows within its share.
  enum class Within : std::uint8_t { Share, Budget };
  bool try_grow(BodyLease& lease, std::uint64_t bytes, Within bound);

  struct Wait {
    std::uint64_t bytes;
    std::uint64_t held = 0;  // by a lease that is to grow: goes to the head of the queue
    BodyShare share = kEveryones;
    boost::asio::io_context::executor_type executor;
    std::weak_ptr<BudgetWaiter> waiter;  // expired: skipped
  };
  // Posts waiter->on_lease() with a lease of `bytes` as soon as there is room.
  void wait(Wait wait);

  // No loop is posted to any more once this has returned.
  void close();

  // Somebody waits for memory that a lease of that share could give back.
  bool is_short(BodyShare share);

  std::uint64_t used() const;
  std::size_t waiting() const;

 private:
  friend class BodyLease;
  struct Queued {
    std::int64_t place;
    Wait wait;
  };
  bool has_room(std::uint64_t bytes, std::uint64_t held) const SLUICE_REQUIRES(mutex_);
  bool share_has_room(BodyShare share, std::uint64_t bytes, std::uint64_t held) const
      SLUICE_REQUIRES(mutex_);
  void add(BodyShare share, std::uint64_t bytes) SLUICE_REQUIRES(mutex_);
  void give_back(std::uint64_t bytes, BodyShare share);
  void admit_waiters() SLUICE_REQUIRES(mutex_);
  std::deque<Queued>* next_queue() SLUICE_REQUIRES(mutex_);

  const std::uint64_t bytes_max_;
  const std::uint64_t share_bytes_max_;
  mutable Mutex mutex_;
  std::uint64_t used_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::unordered_map<BodyShare, std::uint64_t> shares_ SLUICE_GUARDED_BY(mutex_);  // that hold any
  std::unordered_map<BodyShare, std::deque<Queued>> waits_ SLUICE_GUARDED_BY(mutex_);
  std::int64_t last_place_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::int64_t first_place_ SLUICE_GUARDED_BY(mutex_) = 0;
  bool closed_ SLUICE_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::http
