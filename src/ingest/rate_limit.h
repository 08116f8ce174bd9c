#pragma once
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "base/clock.h"
#include "base/mutex.h"
#include "model/ids.h"

namespace sluice::ingest {

struct Rates {
  std::uint64_t records_per_s = 0;  // 0: as many as come
  std::uint64_t bytes_per_s = 0;    // likewise; of unpacked bodies
};

// What each organisation may send through tokens that are bound to it: token buckets that hold one
// second's worth. A request is let in while something is left and charged once its size is known,
// so a large one leaves a debt that the next ones wait for. Threads: any.
class RateLimit {
 public:
  explicit RateLimit(const Rates& rates) : rates_(rates) {}

  bool is_on() const { return rates_.records_per_s > 0 || rates_.bytes_per_s > 0; }
  // Nullopt: come in. Else: after so many seconds.
  std::optional<std::uint32_t> wait_s(OrganisationId organisation, SteadyTime now);
  void charge(OrganisationId organisation, std::uint64_t records, std::uint64_t bytes,
              SteadyTime now);

 private:
  struct Buckets {
    double records = 0;  // below zero: a debt
    double bytes = 0;
    SteadyTime filled;
  };
  // From so many organisations on, those whose buckets are full are forgotten now and then.
  static constexpr std::size_t kRememberedMin = 10'000;

  Buckets& fill(OrganisationId organisation, SteadyTime now) SLUICE_REQUIRES(mutex_);
  void forget_full(SteadyTime now) SLUICE_REQUIRES(mutex_);

  const Rates rates_;
  Mutex mutex_;
  std::unordered_map<OrganisationId, Buckets> buckets_ SLUICE_GUARDED_BY(mutex_);
  std::size_t forget_at_ SLUICE_GUARDED_BY(mutex_) = kRememberedMin;
};

}  // namespace sluice::ingest
