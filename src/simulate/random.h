#pragma once
// The simulator's own generator (SplitMix64): the same numbers on every machine, which the
// distributions of the standard library do not promise.

#include <cstdint>

#include "base/assert.h"

namespace sluice::simulate {

// A well-mixed 64-bit number from one that may count 0, 1, 2, ...
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) : state_(seed) {}

  // A generator of its own for the n-th thing of a `kind`, whatever the others draw.
  static constexpr Random of(std::uint64_t seed, std::uint64_t kind, std::uint64_t n) {
    return Random(mix(mix(seed + 0x9e3779b97f4a7c15ULL) ^ mix(kind * 0xd6e8feb86659fd93ULL + n)));
  }

  constexpr std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }

  // 0 .. bound - 1. The bias of the multiplication is below 2^-32 for bounds in use here.
  std::uint32_t below(std::uint32_t bound) {
    SLUICE_ASSERT(bound > 0);
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
  }
  std::uint32_t between(std::uint32_t low, std::uint32_t high) {
    return low + below(high - low + 1);
  }
  bool chance(std::uint32_t permille) { return below(1000) < permille; }

 private:
  std::uint64_t state_;
};

}  // namespace sluice::simulate
