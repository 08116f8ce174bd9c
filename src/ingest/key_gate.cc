#include "ingest/key_gate.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

namespace sluice::ingest {

std::size_t KeyGate::KeyHash::operator()(const Hash& key) const noexcept {
  std::size_t hash = 0;
  std::memcpy(&hash, key.data(), sizeof hash);
  return hash;
}

KeyGate::Pass& KeyGate::Pass::operator=(Pass&& other) noexcept {
  std::swap(gate_, other.gate_);
  std::swap(key_, other.key_);
  return *this;
}

KeyGate::Pass::~Pass() {
  if (gate_ != nullptr) gate_->leave(key_);
}

Awaitable<KeyGate::Pass> KeyGate::enter(Hash key, boost::asio::io_context& loop) {
  const std::shared_ptr<KeyGate> self = shared_from_this();
  const Turn turn = line_up(key, loop);
  if (turn != nullptr) {
    // The cancelling is posted to this loop, so it cannot come before the wait.
    constexpr auto kQuietly = boost::asio::as_tuple(boost::asio::use_awaitable);
    co_await turn->async_wait(kQuietly);
  }
  co_return Pass(self, key);
}

KeyGate::Turn KeyGate::line_up(const Hash& key, boost::asio::io_context& loop) {
  const MutexLock lock(mutex_);
  const auto [found, is_first] = waiting_.try_emplace(key);
  if (is_first) return nullptr;
  constexpr auto kNever = boost::asio::steady_timer::time_point::max();
  found->second.push_back(std::make_shared<boost::asio::steady_timer>(loop, kNever));
  return found->second.back();
}

void KeyGate::leave(const Hash& key) {
  const MutexLock lock(mutex_);
  if (closed_) return;
  const auto found = waiting_.find(key);
  if (found->second.empty()) {
    waiting_.erase(found);
    return;
  }
  Turn turn = std::move(found->second.front());
  found->second.pop_front();
  // Under the mutex: that is what lets close() keep its promise. A post queues and returns.
  const auto executor = turn->get_executor();
  boost::asio::post(executor, [turn = std::move(turn)] { turn->cancel(); });
}

void KeyGate::close() {
  std::unordered_map<Hash, std::deque<Turn>, KeyHash> waiting;
  const MutexLock lock(mutex_);
  closed_ = true;
  std::swap(waiting, waiting_);
}

}  // namespace sluice::ingest
