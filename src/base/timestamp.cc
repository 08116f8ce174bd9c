#include "base/timestamp.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace sluice {
namespace {

// Reads digits at fixed places; whether all of them were digits is asked once, at the end.
class Digits {
 public:
  explicit Digits(std::string_view text) : text_(text) {}

  int one(std::size_t at) {
    const unsigned digit = static_cast<unsigned char>(text_[at]) - unsigned{'0'};
    valid_ &= digit <= 9;
    return static_cast<int>(digit);
  }
  int two(std::size_t at) { return one(at) * 10 + one(at + 1); }
  bool valid() const { return valid_; }

 private:
  std::string_view text_;
  bool valid_ = true;
};

constexpr bool is_leap(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

constexpr int days_in_month(int year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap(year) ? 29 : kDays[month - 1];
}

// Days since 1970-01-01 in the proleptic Gregorian calendar, for years from 0.
constexpr std::int64_t days_since_epoch(int year, int month, int day) {
  // Years begin in March here, so that the leap day is the last of its year.
  const std::int64_t y = year - (month <= 2 ? 1 : 0) + 400;
  const std::int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
  constexpr std::int64_t kEpoch = 719468 + 146097;  // 1970-01-01 in days from year -400, March 1st
  return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - kEpoch;
}
static_assert(days_since_epoch(1970, 1, 1) == 0);
static_assert(days_since_epoch(2000, 2, 29) == 11016);

// Takes `.` and 1 to 9 digits off the front of `rest`, if there.
std::optional<int> take_milliseconds(std::string_view& rest) {
  if (!rest.starts_with('.')) return 0;
  constexpr std::size_t kPlaces = 3;
  int value = 0;
  std::size_t digits = 0;
  for (std::size_t at = 1; at < rest.size() && rest[at] >= '0' && rest[at] <= '9'; ++at) {
    if (digits++ < kPlaces) value = value * 10 + (rest[at] - '0');
  }
  if (digits == 0 || digits > 9) return std::nullopt;
  rest.remove_prefix(1 + digits);
  for (; digits < kPlaces; ++digits) value *= 10;
  return value;
}

// Minutes east of Greenwich.
std::optional<int> zone_minutes(std::string_view zone) {
  if (zone.empty() || zone == "Z") return 0;
  const bool colon = zone.size() == 6 && zone[3] == ':';
  if (!colon && zone.size() != 5) return std::nullopt;
  if (zone[0] != '+' && zone[0] != '-') return std::nullopt;
  Digits digits(zone);
  const int hours = digits.two(1);
  const int minutes = digits.two(colon ? 4 : 3);
  if (!digits.valid() || hours > 23 || minutes > 59) return std::nullopt;
  return (hours * 60 + minutes) * (zone[0] == '-' ? -1 : 1);
}

}  // namespace

std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  constexpr std::size_t kSecondsEnd = std::string_view("YYYY-MM-DDTHH:MM:SS").size();
  if (text.size() < kSecondsEnd) return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':') return std::nullopt;
  if (text[10] != 'T' && text[10] != ' ') return std::nullopt;
  Digits digits(text);
  const int year = digits.two(0) * 100 + digits.two(2);
  const int month = digits.two(5);
  const int day = digits.two(8);
  const int hour = digits.two(11);
  const int minute = digits.two(14);
  int second = digits.two(17);
  if (!digits.valid() || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
      hour > 23 || minute > 59 || second > 60) {
    return std::nullopt;
  }
  if (second == 60) second = 59;

  std::string_view rest = text.substr(kSecondsEnd);
  const std::optional<int> ms = take_milliseconds(rest);
  const std::optional<int> zone = zone_minutes(rest);
  if (!ms || !zone) return std::nullopt;
  const std::int64_t minutes =
      (days_since_epoch(year, month, day) * 24 + hour) * 60 + minute - *zone;
  return (minutes * 60 + second) * 1000 + *ms;
}

std::string format_timestamp(std::int64_t ms) {
  using namespace std::chrono;
  const sys_time<milliseconds> stamp{milliseconds(ms)};
  const auto day = floor<days>(stamp);
  const year_month_day date(day);
  const hh_mm_ss<milliseconds> clock(stamp - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

}  // namespace sluice
