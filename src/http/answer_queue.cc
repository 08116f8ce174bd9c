#include "http/answer_queue.h"

#include <utility>

namespace sluice::http {

bool AnswerQueue::write(std::string piece) {
  bool wake = false;
  {
    const MutexLock lock(mutex_);
    if (abandoned_) return false;
    if (piece.empty()) return true;
    queued_bytes_.fetch_add(piece.size(), std::memory_order_relaxed);
    pieces_.push_back(std::move(piece));
    wake = std::exchange(connection_waits_, false);
  }
  if (wake) wake_();
  return true;
}

void AnswerQueue::finish() {
  bool wake = false;
  {
    const MutexLock lock(mutex_);
    finished_ = true;
    wake = std::exchange(connection_waits_, false);
  }
  if (wake) wake_();
}

AnswerQueue::Taken AnswerQueue::take(std::size_t bytes_about) {
  const MutexLock lock(mutex_);
  Taken taken;
  while (!pieces_.empty() && taken.bytes.size() < bytes_about) {
    if (taken.bytes.empty()) {
      taken.bytes = std::move(pieces_.front());
    } else {
      taken.bytes += pieces_.front();
    }
    pieces_.pop_front();
  }
  taken.finished = pieces_.empty() && finished_;
  connection_waits_ = taken.bytes.empty() && !taken.finished;
  return taken;
}

void AnswerQueue::abandon() {
  const MutexLock lock(mutex_);
  abandoned_ = finished_ = true;
  for (const std::string& piece : pieces_) sent(piece.size());
  pieces_.clear();
}

}  // namespace sluice::http
