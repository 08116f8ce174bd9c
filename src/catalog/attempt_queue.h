#pragma once
// Attempts between the deliveries that tell of them and the thread that writes them. Internal to
// catalog.

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "catalog/attempts.h"

namespace sluice::catalog {

class StreamQueue;

struct Minute {
  std::int64_t minute = 0;  // since the epoch
  AttemptSums sums;
};

// What a stream has to be written.
struct TakenAttempts {
  StreamId stream;
  std::vector<Attempt> attempts;
  std::vector<Minute> minutes;  // each as it stands: the last of them may grow on
  std::uint64_t bytes = 0;      // give them back by AttemptQueue::written()
};

// Threads: any.
class AttemptQueue : public std::enable_shared_from_this<AttemptQueue> {
 public:
  AttemptQueue(const AttemptLog::Settings& settings, Metrics& metrics);

  std::shared_ptr<StreamQueue> stream(StreamId id);
  void forget(StreamId id);

  // What has come since the last call.
  std::vector<TakenAttempts> take();
  void written(std::uint64_t bytes) { release(bytes); }

  // False: stop() has been called. Returns early when the queue is half full.
  bool wait(std::chrono::milliseconds time);
  void stop();

 private:
  friend class StreamQueue;

  bool reserve(std::uint64_t bytes);  // false: they are too many
  void release(std::uint64_t bytes);
  void changed(std::shared_ptr<StreamQueue> stream);

  const std::uint64_t bytes_max_;
  const std::uint32_t attempts_max_;
  const std::uint32_t successes_max_;
  Gauge bytes_gauge_;
  Counter summed_up_;
  Counter left_out_;
  std::atomic<std::uint64_t> bytes_ = 0;

  Mutex mutex_;
  CondVar wake_;
  std::unordered_map<StreamId, std::shared_ptr<StreamQueue>> streams_ SLUICE_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<StreamQueue>> changed_ SLUICE_GUARDED_BY(mutex_);
  bool early_ SLUICE_GUARDED_BY(mutex_) = false;
  bool stopping_ SLUICE_GUARDED_BY(mutex_) = false;
};

// Threads: any; the stream's I/O thread and the writer.
class StreamQueue final : public AttemptLog::Stream,
                          public std::enable_shared_from_this<StreamQueue> {
 public:
  StreamQueue(StreamId id, std::shared_ptr<AttemptQueue> queue)
      : id_(id), queue_(std::move(queue)) {}

  void add(Attempt attempt) override;
  TakenAttempts take();
  void close();  // what has not been taken goes; what comes counts for nothing

 private:
  void count(const Attempt& attempt) SLUICE_REQUIRES(mutex_);
  void keep(Attempt attempt) SLUICE_REQUIRES(mutex_);
  void sum_up(const Attempt& attempt) SLUICE_REQUIRES(mutex_);
  void drop_exchange(Attempt& attempt) SLUICE_REQUIRES(mutex_);
  void drop_oldest() SLUICE_REQUIRES(mutex_);

  const StreamId id_;
  const std::shared_ptr<AttemptQueue> queue_;
  Mutex mutex_;
  bool closed_ SLUICE_GUARDED_BY(mutex_) = false;
  bool changed_ SLUICE_GUARDED_BY(mutex_) = false;  // and the queue knows
  std::deque<Attempt> attempts_ SLUICE_GUARDED_BY(mutex_);
  std::uint64_t dropped_ SLUICE_GUARDED_BY(mutex_) = 0;  // attempts in front of attempts_
  std::uint64_t bytes_ SLUICE_GUARDED_BY(mutex_) = 0;    // of attempts_
  // Of the successes that have an exchange: places in attempts_, plus dropped_.
  std::deque<std::uint64_t> successes_ SLUICE_GUARDED_BY(mutex_);
  std::optional<Attempt> summed_up_ SLUICE_GUARDED_BY(mutex_);
  std::uint64_t summed_up_delivered_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::deque<Minute> minutes_ SLUICE_GUARDED_BY(mutex_);  // changed since they were taken
  std::optional<Minute> minute_ SLUICE_GUARDED_BY(mutex_);
  bool minute_changed_ SLUICE_GUARDED_BY(mutex_) = false;
};

}  // namespace sluice::catalog
