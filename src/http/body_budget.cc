#include "http/body_budget.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace sluice::http {
namespace {

constexpr std::size_t kPurgeEvery = 1024;  // waits of one share: clients come and go

}  // namespace

BodyLease::BodyLease(std::shared_ptr<BodyBudget> budget, std::uint64_t bytes, BodyShare share)
    : budget_(std::move(budget)), bytes_(bytes), share_(share) {}

BodyLease::BodyLease(BodyLease&& other) noexcept
    : budget_(std::move(other.budget_)),
      bytes_(std::exchange(other.bytes_, 0)),
      share_(other.share_) {}

BodyLease& BodyLease::operator=(BodyLease&& other) noexcept {
  BodyLease moved(std::move(other));
  std::swap(budget_, moved.budget_);
  std::swap(bytes_, moved.bytes_);
  std::swap(share_, moved.share_);
  return *this;
}

BodyLease::~BodyLease() {
  if (bytes_ > 0) budget_->give_back(bytes_, share_);
}

void BodyLease::add(BodyLease other) {
  if (budget_ == nullptr) {
    *this = std::move(other);
  } else {
    SLUICE_ASSERT(share_ == other.share_);
    bytes_ += std::exchange(other.bytes_, 0);
  }
}

bool BodyLease::try_grow(std::uint64_t bytes) {
  return budget_ == nullptr || budget_->try_grow(*this, bytes, BodyBudget::Within::Budget);
}

void BodyLease::shrink_to(std::uint64_t bytes) {
  if (budget_ == nullptr) return;
  SLUICE_ASSERT(bytes <= bytes_);
  const std::uint64_t before = std::exchange(bytes_, bytes);
  budget_->give_back(before - bytes, share_);
}

std::optional<BodyLease> BodyBudget::try_take(std::uint64_t bytes, BodyShare share) {
  const MutexLock lock(mutex_);
  if (!waits_.empty() || !has_room(bytes, 0) || !share_has_room(share, bytes, 0)) {
    return std::nullopt;
  }
  add(share, bytes);
  return BodyLease(shared_from_this(), bytes, share);
}

bool BodyBudget::try_grow(BodyLease& lease, std::uint64_t bytes, Within bound) {
  const MutexLock lock(mutex_);
  if (!has_room(bytes, lease.bytes_)) return false;
  if (bound == Within::Share && !share_has_room(lease.share_, bytes, lease.bytes_)) return false;
  add(lease.share_, bytes);
  lease.bytes_ += bytes;
  return true;
}

void BodyBudget::wait(Wait wait) {
  const MutexLock lock(mutex_);
  if (closed_) return;
  std::deque<Queued>& queue = waits_[wait.share];
  if (wait.held > 0) {
    queue.push_front({--first_place_, std::move(wait)});
  } else {
    queue.push_back({++last_place_, std::move(wait)});
  }
  if (queue.size() % kPurgeEvery == 0) {
    std::erase_if(queue, [](const Queued& each) { return each.wait.waiter.expired(); });
  }
  admit_waiters();
}

void BodyBudget::close() {
  const MutexLock lock(mutex_);
  closed_ = true;
  waits_.clear();
}

bool BodyBudget::is_short(BodyShare share) {
  const MutexLock lock(mutex_);
  const bool all_of_it = next_queue() != nullptr;  // forgets whoever is gone
  return all_of_it || waits_.contains(share);
}

std::uint64_t BodyBudget::used() const {
  const MutexLock lock(mutex_);
  return used_;
}

std::size_t BodyBudget::waiting() const {
  const MutexLock lock(mutex_);
  std::size_t count = 0;
  for (const auto& [share, queue] : waits_) {
    count += static_cast<std::size_t>(std::ranges::count_if(
        queue, [](const Queued& each) { return !each.wait.waiter.expired(); }));
  }
  return count;
}

bool BodyBudget::has_room(std::uint64_t bytes, std::uint64_t held) const {
  return used_ <= held || (used_ <= bytes_max_ && bytes <= bytes_max_ - used_);
}

bool BodyBudget::share_has_room(BodyShare share, std::uint64_t bytes, std::uint64_t held) const {
  if (share == kEveryones) return true;
  const auto found = shares_.find(share);
  const std::uint64_t used = found == shares_.end() ? 0 : found->second;
  return used <= held || (used <= share_bytes_max_ && bytes <= share_bytes_max_ - used);
}

void BodyBudget::add(BodyShare share, std::uint64_t bytes) {
  used_ += bytes;
  if (share != kEveryones && bytes > 0) shares_[share] += bytes;
}

void BodyBudget::give_back(std::uint64_t bytes, BodyShare share) {
  const MutexLock lock(mutex_);
  used_ -= bytes;
  if (const auto found = shares_.find(share); found != shares_.end()) {
    found->second -= bytes;
    if (found->second == 0) shares_.erase(found);
  }
  admit_waiters();
}

// Of those whose share has room the one that came first; null: there is none.
std::deque<BodyBudget::Queued>* BodyBudget::next_queue() {
  std::deque<Queued>* first = nullptr;
  for (auto each = waits_.begin(); each != waits_.end();) {
    std::deque<Queued>& queue = each->second;
    while (!queue.empty() && queue.front().wait.waiter.expired()) queue.pop_front();
    if (queue.empty()) {
      each = waits_.erase(each);
      continue;
    }
    const Wait& wait = queue.front().wait;
    const bool earlier = first == nullptr || queue.front().place < first->front().place;
    if (earlier && share_has_room(wait.share, wait.bytes, wait.held)) first = &queue;
    ++each;
  }
  return first;
}

// Posts under the mutex: that is what lets close() promise that no post comes after it. A post
// queues and returns.
void BodyBudget::admit_waiters() {
  while (std::deque<Queued>* const queue = next_queue()) {
    Wait& wait = queue->front().wait;
    if (!has_room(wait.bytes, wait.held)) return;
    std::shared_ptr<BudgetWaiter> waiter = wait.waiter.lock();
    if (waiter != nullptr) {
      add(wait.share, wait.bytes);
      boost::asio::post(wait.executor,
                        [waiter = std::move(waiter),
                         lease = BodyLease(shared_from_this(), wait.bytes, wait.share)]() mutable {
                          waiter->on_lease(std::move(lease));
                        });
    }
    queue->pop_front();
  }
}

}  // namespace sluice::http
