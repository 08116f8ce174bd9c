#include "base/worker_pool.h"

#include "base/threads.h"

namespace sluice {

WorkerPool::WorkerPool(const std::string& name, std::size_t threads) : pool_(threads) {
  for (std::size_t i = 0; i < threads; ++i) {
    // Each thread takes one of these before any work is queued behind them, or names itself twice,
    // which does no harm.
    boost::asio::post(pool_, [name] { name_this_thread(name); });
  }
}

WorkerPool::~WorkerPool() { pool_.join(); }

}  // namespace sluice
