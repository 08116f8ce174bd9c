#include "ingest/rate_limit.h"

#include <algorithm>
#include <cmath>

namespace sluice::ingest {
namespace {

double filled(double level, std::uint64_t rate, double seconds) {
  const auto full = static_cast<double>(rate);
  return std::min(full, level + full * seconds);
}

double debt_s(double level, std::uint64_t rate) {
  return rate > 0 && level <= 0 ? -level / static_cast<double>(rate) : -1;
}

double seconds_between(SteadyTime from, SteadyTime to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::optional<std::uint32_t> RateLimit::wait_s(OrganisationId organisation, SteadyTime now) {
  const MutexLock lock(mutex_);
  const Buckets& buckets = fill(organisation, now);
  const double seconds = std::max(debt_s(buckets.records, rates_.records_per_s),
                                  debt_s(buckets.bytes, rates_.bytes_per_s));
  if (seconds < 0) return std::nullopt;
  constexpr double kDay = 86'400;
  return static_cast<std::uint32_t>(std::clamp(std::ceil(seconds), 1.0, kDay));
}

void RateLimit::charge(OrganisationId organisation, std::uint64_t records, std::uint64_t bytes,
                       SteadyTime now) {
  const MutexLock lock(mutex_);
  Buckets& buckets = fill(organisation, now);
  if (rates_.records_per_s > 0) buckets.records -= static_cast<double>(records);
  if (rates_.bytes_per_s > 0) buckets.bytes -= static_cast<double>(bytes);
}

RateLimit::Buckets& RateLimit::fill(OrganisationId organisation, SteadyTime now) {
  if (buckets_.size() >= forget_at_) forget_full(now);
  const auto [found, is_new] = buckets_.try_emplace(organisation);
  Buckets& buckets = found->second;
  if (is_new) {
    buckets = {static_cast<double>(rates_.records_per_s), static_cast<double>(rates_.bytes_per_s),
               now};
  }
  const double seconds = seconds_between(buckets.filled, now);
  buckets.records = filled(buckets.records, rates_.records_per_s, seconds);
  buckets.bytes = filled(buckets.bytes, rates_.bytes_per_s, seconds);
  buckets.filled = now;
  return buckets;
}

void RateLimit::forget_full(SteadyTime now) {
  std::erase_if(buckets_, [&](const auto& entry) {
    const Buckets& buckets = entry.second;
    const double seconds = seconds_between(buckets.filled, now);
    return filled(buckets.records, rates_.records_per_s, seconds) >=
               static_cast<double>(rates_.records_per_s) &&
           filled(buckets.bytes, rates_.bytes_per_s, seconds) >=
               static_cast<double>(rates_.bytes_per_s);
  });
  forget_at_ = std::max(kRememberedMin, 2 * buckets_.size());
}

}  // namespace sluice::ingest
