#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mutex.h"

namespace sluice::api {

// The key ids of the application tokens that exist: a JWT made from one ends with it, at once and
// without asking the catalog. Threads: any.
class LiveTokens {
 public:
  using Flag = std::shared_ptr<const std::atomic<bool>>;  // true: revoked

  void add(const std::string& key_id) {
    const MutexLock lock(mutex_);
    tokens_.try_emplace(key_id, std::make_shared<std::atomic<bool>>(false));
  }
  void revoke(const std::string& key_id) {
    const MutexLock lock(mutex_);
    const auto found = tokens_.find(key_id);
    if (found == tokens_.end()) return;
    found->second->store(true);
    tokens_.erase(found);
  }
  // Null: there is none.
  Flag find(const std::string& key_id) const {
    const MutexLock lock(mutex_);
    const auto found = tokens_.find(key_id);
    return found == tokens_.end() ? nullptr : found->second;
  }
  std::size_t size() const {
    const MutexLock lock(mutex_);
    return tokens_.size();
  }

 private:
  mutable Mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<std::atomic<bool>>> tokens_
      SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::api
