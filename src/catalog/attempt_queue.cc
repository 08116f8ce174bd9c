#include "catalog/attempt_queue.h"

#include <fmt/format.h>

#include <utility>

namespace sluice::catalog {
namespace {

constexpr std::int64_t kMinuteMs = 60'000;
constexpr std::size_t kMinutesWaitingMax = 60;  // should the writer stand still so long

std::uint64_t exchange_bytes(const Attempt& attempt) {
  return attempt.exchange == nullptr ? 0 : sizeof(Exchange) + attempt.exchange->bytes();
}

std::uint64_t bytes_of(const Attempt& attempt) {
  return sizeof(Attempt) + attempt.webhook_id.size() + attempt.error.size() +
         exchange_bytes(attempt);
}

}  // namespace

void AttemptSums::add(const AttemptSums& other) {
  successes += other.successes;
  errors += other.errors;
  records += other.records;
  bytes += other.bytes;
  latencies.add(other.latencies);
}

AttemptQueue::AttemptQueue(const AttemptLog::Settings& settings, Metrics& metrics)
    : bytes_max_(settings.queue_bytes_max),
      attempts_max_(settings.attempts_max),
      successes_max_(settings.successes_max),
      bytes_gauge_(metrics.gauge("sluice_attempts_queue_bytes",
                                 "Attempts that are not written to the attempts log yet.")),
      summed_up_(metrics.counter("sluice_attempts_summed_up_total",
                                 "Attempts for which the queue had no room one by one.")),
      left_out_(metrics.counter("sluice_attempts_exchanges_left_out_total",
                                "Headers and bodies for which the queue had no room.")) {}

std::shared_ptr<StreamQueue> AttemptQueue::stream(StreamId id) {
  const MutexLock lock(mutex_);
  std::shared_ptr<StreamQueue>& stream = streams_[id];
  if (!stream) stream = std::make_shared<StreamQueue>(id, shared_from_this());
  return stream;
}

void AttemptQueue::forget(StreamId id) {
  std::shared_ptr<StreamQueue> stream;
  {
    const MutexLock lock(mutex_);
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    stream = std::move(found->second);
    streams_.erase(found);
  }
  stream->close();
}

std::vector<TakenAttempts> AttemptQueue::take() {
  std::vector<std::shared_ptr<StreamQueue>> changed;
  {
    const MutexLock lock(mutex_);
    changed.swap(changed_);
  }
  std::vector<TakenAttempts> taken;
  taken.reserve(changed.size());
  for (const auto& stream : changed) taken.push_back(stream->take());
  return taken;
}

bool AttemptQueue::reserve(std::uint64_t bytes) {
  const std::uint64_t before = bytes_.fetch_add(bytes);
  if (before + bytes > bytes_max_) {
    bytes_ -= bytes;
    return false;
  }
  bytes_gauge_.set(static_cast<double>(before + bytes));
  if (before < bytes_max_ / 2 && before + bytes >= bytes_max_ / 2) {
    const MutexLock lock(mutex_);
    early_ = true;
    wake_.notify_all();
  }
  return true;
}

void AttemptQueue::release(std::uint64_t bytes) {
  bytes_gauge_.set(static_cast<double>(bytes_.fetch_sub(bytes) - bytes));
}

void AttemptQueue::changed(std::shared_ptr<StreamQueue> stream) {
  const MutexLock lock(mutex_);
  if (!stopping_) changed_.push_back(std::move(stream));
}

bool AttemptQueue::wait(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  const MutexLock lock(mutex_);
  while (!stopping_ && !early_ && wake_.wait_until(mutex_, until)) {
  }
  early_ = false;
  return !stopping_;
}

void AttemptQueue::stop() {
  const MutexLock lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
  streams_.clear();  // they hold on to this
}

void StreamQueue::add(Attempt attempt) {
  {
    const MutexLock lock(mutex_);
    if (closed_) return;
    count(attempt);
    keep(std::move(attempt));
    if (std::exchange(changed_, true)) return;
  }
  queue_->changed(shared_from_this());
}

// By the time it ended, so that minutes follow each other.
void StreamQueue::count(const Attempt& attempt) {
  if (attempt.broken_off) return;
  const std::int64_t minute = (attempt.time.ms + attempt.latency.count() / 1000) / kMinuteMs;
  if (!minute_ || minute > minute_->minute) {
    if (minute_ && minute_changed_) minutes_.push_back(*minute_);
    if (minutes_.size() > kMinutesWaitingMax) minutes_.pop_front();
    minute_ = Minute{minute, {}};
  }
  AttemptSums& sums = minute_->sums;
  if (attempt.outcome == AttemptOutcome::Delivered) {
    ++sums.successes;
    sums.records += attempt.records;
    sums.bytes += attempt.bytes;
  } else {
    ++sums.errors;
  }
  sums.latencies.add(attempt.latency);
  minute_changed_ = true;
}

void StreamQueue::keep(Attempt attempt) {
  if (!queue_->reserve(bytes_of(attempt))) {
    if (attempt.exchange != nullptr) queue_->left_out_.add();
    attempt.exchange.reset();
    if (!queue_->reserve(bytes_of(attempt))) return sum_up(attempt);
  }
  bytes_ += bytes_of(attempt);
  if (attempt.outcome == AttemptOutcome::Delivered && attempt.exchange != nullptr) {
    successes_.push_back(dropped_ + attempts_.size());
  }
  attempts_.push_back(std::move(attempt));
  if (successes_.size() > queue_->successes_max_) {
    drop_exchange(attempts_[successes_.front() - dropped_]);
    successes_.pop_front();
  }
  if (attempts_.size() > queue_->attempts_max_) drop_oldest();
}

void StreamQueue::drop_exchange(Attempt& attempt) {
  const std::uint64_t bytes = exchange_bytes(attempt);
  attempt.exchange.reset();
  bytes_ -= bytes;
  queue_->release(bytes);
}

// Written it would be removed again at once.
void StreamQueue::drop_oldest() {
  if (!successes_.empty() && successes_.front() == dropped_) successes_.pop_front();
  const std::uint64_t bytes = bytes_of(attempts_.front());
  attempts_.pop_front();
  ++dropped_;
  bytes_ -= bytes;
  queue_->release(bytes);
}

void StreamQueue::sum_up(const Attempt& attempt) {
  queue_->summed_up_.add();
  if (!summed_up_) {
    summed_up_ = Attempt{.time = attempt.time,
                         .number = 0,
                         .first = attempt.first,
                         .outcome = AttemptOutcome::SummedUp};
    summed_up_delivered_ = 0;
  }
  ++summed_up_->number;
  summed_up_->last = attempt.last;
  summed_up_->records += attempt.records;
  summed_up_->bytes += attempt.bytes;
  if (attempt.outcome == AttemptOutcome::Delivered) ++summed_up_delivered_;
}

TakenAttempts StreamQueue::take() {
  const MutexLock lock(mutex_);
  changed_ = false;
  TakenAttempts taken;
  taken.stream = id_;
  taken.attempts.assign(std::make_move_iterator(attempts_.begin()),
                        std::make_move_iterator(attempts_.end()));
  attempts_.clear();
  successes_.clear();
  dropped_ = 0;
  taken.bytes = std::exchange(bytes_, 0);
  if (summed_up_) {
    summed_up_->error =
        fmt::format("{} attempts in a short time: {} delivered, {} failed", summed_up_->number,
                    summed_up_delivered_, summed_up_->number - summed_up_delivered_);
    taken.attempts.push_back(*std::exchange(summed_up_, std::nullopt));
  }
  taken.minutes.assign(minutes_.begin(), minutes_.end());
  minutes_.clear();
  if (std::exchange(minute_changed_, false)) taken.minutes.push_back(*minute_);
  return taken;
}

void StreamQueue::close() {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
  }
  const TakenAttempts nobodys = take();
  queue_->release(nobodys.bytes);
}

}  // namespace sluice::catalog
