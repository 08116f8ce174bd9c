#pragma once
// What the inspector's streams were delivered, in memory.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/units.h"
#include "model/ids.h"

namespace sluice::connectors::inspector {

inline constexpr std::size_t kDeliveriesMax = 1000;    // of a stream
inline constexpr std::uint64_t kBytesMax = 64 * kMiB;  // of all streams

struct KeptDelivery {
  std::uint64_t id = 0;  // the store's: grows with each delivery until the server ends
  WallTime time = {};
  std::string webhook_id = {};
  Offset first = {};
  Offset last = {};
  std::uint32_t records = 0;
  std::uint64_t body_bytes = 0;  // of the whole body
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};  // its first kShownBodyBytesMax, in whole characters
};

// One a server. Threads: any.
class Store {
 public:
  explicit Store(Metrics& metrics, std::uint64_t bytes_max = kBytesMax);

  // The oldest give way: the stream's beyond kDeliveriesMax, anybody's beyond the bytes.
  void add(StreamId stream, KeptDelivery delivery);
  void forget(StreamId stream);

  // At most `limit`, newest first, older than the one with the id `before`.
  using Kept = std::shared_ptr<const KeptDelivery>;
  std::vector<Kept> newest(StreamId stream, std::optional<std::uint64_t> before,
                           std::size_t limit) const;

 private:
  using Deliveries = std::deque<Kept>;  // oldest first
  void drop_oldest(Deliveries& deliveries) SLUICE_REQUIRES(mutex_);
  void make_room() SLUICE_REQUIRES(mutex_);

  const std::uint64_t bytes_max_;
  Gauge bytes_gauge_;
  mutable Mutex mutex_;
  std::map<StreamId, Deliveries> streams_ SLUICE_GUARDED_BY(mutex_);
  std::uint64_t last_id_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::uint64_t bytes_ SLUICE_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::connectors::inspector
