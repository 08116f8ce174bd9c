#include "formats/decimal.h"

#include <algorithm>
#include <charconv>

namespace sluice::formats {
namespace {

constexpr int kExponentMax = 400;  // what a double can have, and more

}  // namespace

void append_decimal(std::string& out, std::string_view number, std::size_t decimals) {
  const std::size_t mantissa_end = std::min(number.find_first_of("eE"), number.size());
  int exponent = 0;
  if (mantissa_end != number.size()) {
    std::string_view text = number.substr(mantissa_end + 1);
    if (text.starts_with('+')) text.remove_prefix(1);
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), exponent);
    const bool read = fault == std::errc{} && end == text.data() + text.size();
    if (!read || exponent > kExponentMax || exponent < -kExponentMax) {
      out += number;
      return;
    }
  }
  std::string_view mantissa = number.substr(0, mantissa_end);
  if (mantissa.starts_with('-')) {
    out += '-';
    mantissa.remove_prefix(1);
  }
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  std::string digits(mantissa.substr(0, point));
  digits += mantissa.substr(std::min(point + 1, mantissa.size()));

  // So many of them stand before the point.
  const int before = static_cast<int>(point) + exponent;
  if (before <= 0) digits.insert(0, static_cast<std::size_t>(1 - before), '0');
  const auto whole = static_cast<std::size_t>(std::max(before, 1));
  if (digits.size() < whole) digits.append(whole - digits.size(), '0');
  const std::size_t zeros = std::min(digits.find_first_not_of('0'), whole - 1);
  out.append(digits, zeros, whole - zeros);
  const std::size_t behind = digits.size() - whole;
  if (behind == 0 && decimals == 0) return;
  out += '.';
  out.append(digits, whole);
  if (behind < decimals) out.append(decimals - behind, '0');
}

}  // namespace sluice::formats
