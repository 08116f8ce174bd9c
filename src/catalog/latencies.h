#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::catalog {

// How long attempts took: counts by size, eight sizes to each doubling, so that a quantile is at
// most 7 % off. From 8 us to 134 s; what is longer counts as that.
class Latencies {
 public:
  void add(std::chrono::microseconds latency, std::uint32_t times = 1);
  void add(const Latencies& other);

  // `part` in (0, 1]: that part of them took so long or less. Nullopt: there are none.
  std::optional<std::chrono::microseconds> quantile(double part) const;

  // "120:3 131:1": the sizes that occur, and how often. read() ignores what it cannot read.
  std::string text() const;
  static Latencies read(std::string_view text);

 private:
  static constexpr std::size_t kSizes = 208;
  static std::size_t size_of(std::uint64_t us);
  static std::uint64_t middle_of(std::size_t size);

  std::array<std::uint32_t, kSizes> counts_{};
};

}  // namespace sluice::catalog
