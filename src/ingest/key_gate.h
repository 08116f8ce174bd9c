#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <unordered_map>

#include "base/awaitable.h"
#include "base/mutex.h"
#include "ingest/idempotency.h"

namespace sluice::ingest {

// Lets the requests of one idempotency key through one by one, in the order in which they came.
// Threads: any. Shared by those within, who may outlive its owner.
class KeyGate : public std::enable_shared_from_this<KeyGate> {
 public:
  // Held while a request is under way; whoever waits behind it goes on when it is gone.
  class Pass {
   public:
    Pass() = default;
    Pass(std::shared_ptr<KeyGate> gate, const Hash& key) : gate_(std::move(gate)), key_(key) {}
    Pass(Pass&&) noexcept = default;
    Pass& operator=(Pass&& other) noexcept;
    ~Pass();

   private:
    std::shared_ptr<KeyGate> gate_;
    Hash key_{};
  };

  // On a coroutine of `loop`, which outlives close().
  Awaitable<Pass> enter(Hash key, boost::asio::io_context& loop);

  // Nobody is let through any more: no loop is touched once this has returned.
  void close();

 private:
  using Turn = std::shared_ptr<boost::asio::steady_timer>;  // cancelled when it has come
  struct KeyHash {                                          // a key is a hash already
    std::size_t operator()(const Hash& key) const noexcept;
  };
  // Null: nobody is within, go on.
  Turn line_up(const Hash& key, boost::asio::io_context& loop);
  void leave(const Hash& key);

  Mutex mutex_;
  std::unordered_map<Hash, std::deque<Turn>, KeyHash> waiting_ SLUICE_GUARDED_BY(mutex_);
  bool closed_ SLUICE_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::ingest
