#include "catalog/latencies.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <numeric>

namespace sluice::catalog {
namespace {

constexpr unsigned kStepBits = 3;  // eight steps to a doubling
constexpr std::uint64_t kSteps = 1u << kStepBits;

}  // namespace

// Up to 15 us each is a size of its own; from there on the four leading bits tell.
std::size_t Latencies::size_of(std::uint64_t us) {
  if (us < kSteps) return us;
  const auto shift = static_cast<unsigned>(std::bit_width(us)) - 1 - kStepBits;
  return std::min<std::size_t>(shift * kSteps + (us >> shift), kSizes - 1);
}

std::uint64_t Latencies::middle_of(std::size_t size) {
  if (size < 2 * kSteps) return size;
  const std::size_t shift = size / kSteps - 1;
  const std::uint64_t from = (size - shift * kSteps) << shift;
  return from + ((std::uint64_t{1} << shift) / 2);
}

void Latencies::add(std::chrono::microseconds latency, std::uint32_t times) {
  counts_[size_of(static_cast<std::uint64_t>(std::max<std::int64_t>(0, latency.count())))] += times;
}

void Latencies::add(const Latencies& other) {
  for (std::size_t i = 0; i < kSizes; ++i) counts_[i] += other.counts_[i];
}

std::optional<std::chrono::microseconds> Latencies::quantile(double part) const {
  const std::uint64_t all = std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
  if (all == 0) return std::nullopt;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(part * static_cast<double>(all)));
  std::uint64_t seen = 0;
  std::size_t size = 0;
  while (size + 1 < kSizes && (seen += counts_[size]) < wanted) ++size;
  return std::chrono::microseconds(middle_of(size));
}

std::string Latencies::text() const {
  std::string text;
  for (std::size_t i = 0; i < kSizes; ++i) {
    if (counts_[i] == 0) continue;
    fmt::format_to(std::back_inserter(text), "{}{}:{}", text.empty() ? "" : " ", i, counts_[i]);
  }
  return text;
}

Latencies Latencies::read(std::string_view text) {
  Latencies latencies;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    std::size_t size = 0;
    std::uint32_t count = 0;
    const auto [colon, no_size] = std::from_chars(at, end, size);
    if (no_size != std::errc() || colon == end || *colon != ':' || size >= kSizes) break;
    const auto [blank, no_count] = std::from_chars(colon + 1, end, count);
    if (no_count != std::errc()) break;
    latencies.counts_[size] += count;
    at = blank + (blank < end ? 1 : 0);
  }
  return latencies;
}

}  // namespace sluice::catalog
