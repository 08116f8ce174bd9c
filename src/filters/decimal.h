#pragma once
// The exact value of a JSON number of any size.

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice::filters {

class Decimal {
 public:
  // Nullopt: not a number as JSON writes it. The text must outlive the value. Exponents beyond
  // +-10^15 count as +-10^15.
  static std::optional<Decimal> parse(std::string_view text);

  // Nullopt: it has a fraction or does not fit.
  std::optional<std::int64_t> to_int64() const;

  friend std::strong_ordering operator<=>(const Decimal& a, const Decimal& b);
  friend bool operator==(const Decimal& a, const Decimal& b) { return (a <=> b) == 0; }

 private:
  bool is_zero() const { return digits_.empty(); }

  bool negative_ = false;
  std::int64_t magnitude_ = 0;  // the power of ten that the first digit counts
  std::string_view digits_;     // from the first to the last that is not 0; may hold the point
};

}  // namespace sluice::filters
