#include "filters/decimal.h"

#include <algorithm>
#include <limits>

namespace sluice::filters {
namespace {

constexpr std::int64_t kExponentMax = 1'000'000'000'000'000;

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// How many digits `text` begins with.
std::size_t digits_at(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
}

// Of "+12", "-3", "4"; nullopt: none of these.
std::optional<std::int64_t> parse_exponent(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || digits_at(text) != text.size()) return std::nullopt;
  std::int64_t exponent = 0;
  for (const char digit : text) {
    exponent = std::min(exponent * 10 + (digit - '0'), kExponentMax);
  }
  return negative ? -exponent : exponent;
}

std::strong_ordering compare_digits(std::string_view a, std::string_view b) {
  std::size_t i = 0;
  std::size_t j = 0;
  for (;; ++i, ++j) {
    if (i < a.size() && a[i] == '.') ++i;
    if (j < b.size() && b[j] == '.') ++j;
    // Both end with a digit that is not 0, so the longer one is the greater.
    if (i == a.size() || j == b.size()) return (i < a.size()) <=> (j < b.size());
    if (a[i] != b[j]) return a[i] <=> b[j];
  }
}

}  // namespace

std::optional<Decimal> Decimal::parse(std::string_view text) {
  Decimal number;
  number.negative_ = text.starts_with('-');
  if (number.negative_) text.remove_prefix(1);
  const std::size_t whole = digits_at(text);
  if (whole == 0 || (whole > 1 && text[0] == '0')) return std::nullopt;
  std::size_t length = whole;
  if (text.substr(whole).starts_with('.')) {
    const std::size_t fraction = digits_at(text.substr(whole + 1));
    if (fraction == 0) return std::nullopt;
    length += 1 + fraction;
  }
  const std::string_view rest = text.substr(length);
  std::int64_t exponent = 0;
  if (!rest.empty()) {
    if (rest[0] != 'e' && rest[0] != 'E') return std::nullopt;
    const std::optional<std::int64_t> given = parse_exponent(rest.substr(1));
    if (!given) return std::nullopt;
    exponent = *given;
  }
  const std::string_view mantissa = text.substr(0, length);
  const std::size_t first = mantissa.find_first_of("123456789");
  if (first == mantissa.npos) return Decimal();
  const std::size_t last = mantissa.find_last_of("123456789");
  number.digits_ = mantissa.substr(first, last - first + 1);
  const std::int64_t place = first < whole ? static_cast<std::int64_t>(whole - 1 - first)
                                           : -static_cast<std::int64_t>(first - whole);
  number.magnitude_ = place + exponent;
  return number;
}

std::optional<std::int64_t> Decimal::to_int64() const {
  if (is_zero()) return 0;
  constexpr std::int64_t kDigitsMax = 19;  // each number of so many digits fits 64 bits unsigned
  if (magnitude_ < 0 || magnitude_ >= kDigitsMax) return std::nullopt;
  std::uint64_t value = 0;
  std::int64_t left = magnitude_ + 1;
  for (const char c : digits_) {
    if (c == '.') continue;
    if (left-- == 0) return std::nullopt;  // a fraction
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  for (; left > 0; --left) value *= 10;
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value > kMax + (negative_ ? 1 : 0)) return std::nullopt;
  return static_cast<std::int64_t>(negative_ ? 0 - value : value);
}

std::strong_ordering operator<=>(const Decimal& a, const Decimal& b) {
  if (a.is_zero() && b.is_zero()) return std::strong_ordering::equal;
  if (a.is_zero()) return b.negative_ ? std::strong_ordering::greater : std::strong_ordering::less;
  if (b.is_zero()) return a.negative_ ? std::strong_ordering::less : std::strong_ordering::greater;
  if (a.negative_ != b.negative_) {
    return a.negative_ ? std::strong_ordering::less : std::strong_ordering::greater;
  }
  std::strong_ordering order = a.magnitude_ <=> b.magnitude_;
  if (order == 0) order = compare_digits(a.digits_, b.digits_);
  return a.negative_ ? 0 <=> order : order;
}

}  // namespace sluice::filters
