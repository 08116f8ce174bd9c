#pragma once
// The pieces of an answer without end, on their way from whoever writes them to the connection.

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "base/mutex.h"

namespace sluice::http {

// Threads: any for the writer's side, the connection's loop for the other.
class AnswerQueue {
 public:
  // `wake` asks the connection to take(), from the writer's thread: it only posts.
  explicit AnswerQueue(std::function<void()> wake) : wake_(std::move(wake)) {}

  // The writer's side.
  bool write(std::string piece);  // false: abandoned
  void finish();
  std::uint64_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }

  // The connection's side.
  struct Taken {
    std::string bytes;      // empty: nothing is there; the queue will wake
    bool finished = false;  // nothing will follow
  };
  Taken take(std::size_t bytes_about);
  void sent(std::size_t bytes) { queued_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  void abandon();  // nobody listens any more: what is queued is dropped

 private:
  const std::function<void()> wake_;
  std::atomic<std::uint64_t> queued_bytes_ = 0;
  Mutex mutex_;
  std::deque<std::string> pieces_ SLUICE_GUARDED_BY(mutex_);
  bool finished_ SLUICE_GUARDED_BY(mutex_) = false;
  bool abandoned_ SLUICE_GUARDED_BY(mutex_) = false;
  bool connection_waits_ SLUICE_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::http
