#pragma once
// A bounded cache of shared, immutable things. What a reader holds stays alive
// after it was dropped here. Threads: any.

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <utility>

#include "base/mutex.h"

namespace sluice::recordlog {

template <class Key, class Value>
class LruCache {
 public:
  explicit LruCache(std::uint64_t cost_max) : cost_max_(cost_max) {}

  std::shared_ptr<Value> get(const Key& key) {
    const MutexLock lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->value;
  }

  // Keeps what is there already, if another thread was faster. Something dearer
  // than the whole cache is not kept.
  void put(const Key& key, std::shared_ptr<Value> value, std::uint64_t cost) {
    std::list<Entry> dropped;  // destroyed after the lock is released
    const MutexLock lock(mutex_);
    if (cost > cost_max_ || by_key_.contains(key)) return;
    while (cost_ + cost > cost_max_) {
      const auto last = std::prev(order_.end());
      cost_ -= last->cost;
      by_key_.erase(last->key);
      dropped.splice(dropped.begin(), order_, last);
    }
    order_.push_front({key, std::move(value), cost});
    by_key_.emplace(key, order_.begin());
    cost_ += cost;
  }

  void erase(const Key& key) {
    std::list<Entry> dropped;
    const MutexLock lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    cost_ -= found->second->cost;
    dropped.splice(dropped.begin(), order_, found->second);
    by_key_.erase(found);
  }

 private:
  struct Entry {
    Key key;
    std::shared_ptr<Value> value;
    std::uint64_t cost;
  };

  const std::uint64_t cost_max_;
  Mutex mutex_;
  std::list<Entry> order_ SLUICE_GUARDED_BY(mutex_);  // the last one goes first
  std::unordered_map<Key, typename std::list<Entry>::iterator> by_key_ SLUICE_GUARDED_BY(mutex_);
  std::uint64_t cost_ SLUICE_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::recordlog
