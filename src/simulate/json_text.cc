#include "simulate/json_text.h"

#include <array>
#include <chrono>

#include "base/assert.h"

namespace sluice::simulate {
namespace {

// Writes `value` as `digits` digits ending before `end`.
void put_digits(char* end, std::uint64_t value, int digits) {
  for (int i = 0; i < digits; ++i) {
    *--end = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

}  // namespace

JsonText& JsonText::decimal(std::uint64_t units, int digits) {
  std::uint64_t scale = 1;
  for (int i = 0; i < digits; ++i) scale *= 10;
  number(units / scale);
  std::array<char, 20> fraction;
  put_digits(fraction.data() + digits, units % scale, digits);
  std::size_t length = static_cast<std::size_t>(digits);
  while (length > 1 && fraction[length - 1] == '0') --length;
  text_.push_back('.');
  text_.append(fraction.data(), length);
  return *this;
}

JsonText& JsonText::time(std::int64_t ms, TimeForm form) {
  using namespace std::chrono;
  SLUICE_ASSERT(ms >= 0);
  constexpr std::int64_t kDayMs = 86'400'000;
  const year_month_day date{sys_days{days{ms / kDayMs}}};
  const std::uint64_t of_day = static_cast<std::uint64_t>(ms % kDayMs);
  std::array<char, 23> text;
  text.fill('-');
  text[10] = form == TimeForm::Blank ? ' ' : 'T';
  text[13] = text[16] = ':';
  text[19] = '.';
  put_digits(&text[4], static_cast<std::uint64_t>(static_cast<int>(date.year())), 4);
  put_digits(&text[7], static_cast<unsigned>(date.month()), 2);
  put_digits(&text[10], static_cast<unsigned>(date.day()), 2);
  put_digits(&text[13], of_day / 3'600'000, 2);
  put_digits(&text[16], of_day / 60'000 % 60, 2);
  put_digits(&text[19], of_day / 1000 % 60, 2);
  put_digits(text.data() + 23, of_day % 1000, 3);
  text_.push_back('"');
  text_.append(text.data(), form == TimeForm::Milliseconds ? 23 : 19);
  if (form == TimeForm::Milliseconds || form == TimeForm::Seconds) text_.push_back('Z');
  text_.push_back('"');
  return *this;
}

JsonText& JsonText::ip_address(std::uint32_t address) {
  number(address >> 24).raw(".").number(address >> 16 & 255).raw(".");
  return number(address >> 8 & 255).raw(".").number(address & 255);
}

JsonText& JsonText::hex(std::uint64_t value, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    text_.push_back("0123456789abcdef"[value >> shift & 15]);
  }
  return *this;
}

}  // namespace sluice::simulate
