#pragma once
// Appends compact JSON to a string that is used again for each record. Every text that passes
// through here is the simulator's own and needs no escaping.

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::simulate {

// How a dialect spells a moment (vendors' pages): 2026-01-31T10:00:00.000Z,
// 2026-01-31 10:00:00, 2026-01-31T10:00:00Z, 2026-01-31T10:00:00.
enum class TimeForm : std::uint8_t { Milliseconds, Blank, Seconds, NoZone };

class JsonText {
 public:
  void clear() { text_.clear(); }
  std::string_view view() const { return text_; }

  JsonText& raw(std::string_view text) {
    text_.append(text);
    return *this;
  }
  JsonText& number(std::uint64_t value) {
    const fmt::format_int digits(value);
    text_.append(digits.data(), digits.size());
    return *this;
  }
  JsonText& quoted(std::string_view text) {
    text_.push_back('"');
    text_.append(text);
    text_.push_back('"');
    return *this;
  }
  JsonText& quoted(std::uint64_t value) {
    text_.push_back('"');
    number(value);
    text_.push_back('"');
    return *this;
  }
  // `units` of 10^-digits: (5582750, 10) is 0.000558275. At least one digit behind the point.
  JsonText& decimal(std::uint64_t units, int digits);
  // At least 1970.
  JsonText& time(std::int64_t ms, TimeForm form);  // quoted
  JsonText& ip_address(std::uint32_t address);     // not quoted
  JsonText& hex(std::uint64_t value, int digits);

 private:
  std::string text_;
};

}  // namespace sluice::simulate
