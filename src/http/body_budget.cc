#include "http/body_budget.h"

#include <boost/asio/post.hpp>

namespace sluice::http {

BodyLease::BodyLease(std::shared_ptr<BodyBudget> budget, std::uint64_t bytes)
    : budget_(std::move(budget)), bytes_(bytes) {}

BodyLease::BodyLease(BodyLease&& other) noexcept
    : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}

BodyLease& BodyLease::operator=(BodyLease&& other) noexcept {
  BodyLease moved(std::move(other));
  std::swap(budget_, moved.budget_);
  std::swap(bytes_, moved.bytes_);
  return *this;
}

BodyLease::~BodyLease() {
  if (bytes_ > 0) budget_->give_back(bytes_);
}

void BodyLease::add(BodyLease other) {
  if (budget_ == nullptr) {
    *this = std::move(other);
  } else {
    bytes_ += std::exchange(other.bytes_, 0);
  }
}

bool BodyLease::try_grow(std::uint64_t bytes) {
  return budget_ == nullptr || budget_->try_grow(*this, bytes);
}

void BodyLease::shrink_to(std::uint64_t bytes) {
  if (budget_ == nullptr) return;
  SLUICE_ASSERT(bytes <= bytes_);
  const std::uint64_t before = std::exchange(bytes_, bytes);
  budget_->give_back(before - bytes);
}

std::optional<BodyLease> BodyBudget::try_take(std::uint64_t bytes) {
  if (waiting_.load() > 0 || !reserve(bytes, 0)) return std::nullopt;
  return BodyLease(shared_from_this(), bytes);
}

bool BodyBudget::try_grow(BodyLease& lease, std::uint64_t bytes) {
  if (!reserve(bytes, lease.bytes_)) return false;
  lease.bytes_ += bytes;
  return true;
}

void BodyBudget::wait(Wait wait) {
  MutexLock lock(mutex_);
  if (closed_) return;
  if (wait.held > 0) {
    waits_.push_front(std::move(wait));
  } else {
    waits_.push_back(std::move(wait));
  }
  waiting_.store(waits_.size());
  admit_waiters();
}

void BodyBudget::close() {
  MutexLock lock(mutex_);
  closed_ = true;
  waits_.clear();
  waiting_.store(0);
}

bool BodyBudget::reserve(std::uint64_t bytes, std::uint64_t held) {
  std::uint64_t used = used_.load();
  do {
    if (used > held && (used > bytes_max_ || bytes > bytes_max_ - used)) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes));
  return true;
}

void BodyBudget::give_back(std::uint64_t bytes) {
  used_.fetch_sub(bytes);
  if (waiting_.load() == 0) return;
  MutexLock lock(mutex_);
  admit_waiters();
}

// Posts under the mutex: that is what lets close() promise that no post comes after it. A post
// queues and returns.
void BodyBudget::admit_waiters() {
  while (!waits_.empty()) {
    Wait& first = waits_.front();
    std::shared_ptr<BudgetWaiter> waiter = first.waiter.lock();
    if (waiter != nullptr) {
      if (!reserve(first.bytes, first.held)) break;
      boost::asio::post(first.executor,
                        [waiter = std::move(waiter),
                         lease = BodyLease(shared_from_this(), first.bytes)]() mutable {
                          waiter->on_lease(std::move(lease));
                        });
    }
    waits_.pop_front();
  }
  waiting_.store(waits_.size());
}

}  // namespace sluice::http
