#include "ingest/timestamp.h"

namespace sluice::ingest {
namespace {

// Takes digits from the front of a text; one bad character spoils the rest.
class Digits {
 public:
  explicit Digits(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  int number(int digits) {
    if (end_ - at_ < digits) return fail();
    int value = 0;
    for (int i = 0; i < digits; ++i) {
      const unsigned digit = static_cast<unsigned char>(*at_++) - unsigned{'0'};
      if (digit > 9) return fail();
      value = value * 10 + static_cast<int>(digit);
    }
    return value;
  }
  bool take(char wanted) {
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!take(wanted)) fail();
  }
  bool digit_next() const { return at_ != end_ && *at_ >= '0' && *at_ <= '9'; }
  bool at_end() const { return at_ == end_; }
  bool failed() const { return failed_; }

  int fail() {
    failed_ = true;
    at_ = end_;
    return 0;
  }

 private:
  const char* at_;
  const char* end_;
  bool failed_ = false;
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

int milliseconds(Digits& digits) {
  if (!digits.take('.')) return 0;
  int value = digits.number(1) * 100;
  int weight = 10;
  for (int i = 1; i < 9 && digits.digit_next(); ++i, weight /= 10)
    value += digits.number(1) * weight;
  return value;
}

int zone_minutes(Digits& digits) {
  if (digits.at_end() || digits.take('Z')) return 0;
  const bool negative = digits.take('-');
  if (!negative) digits.expect('+');
  const int hours = digits.number(2);
  digits.take(':');
  const int minutes = digits.number(2);
  if (hours > 23 || minutes > 59) digits.fail();
  return (hours * 60 + minutes) * (negative ? -1 : 1);
}

}  // namespace

std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  Digits digits(text);
  const int year = digits.number(4);
  digits.expect('-');
  const int month = digits.number(2);
  digits.expect('-');
  const int day = digits.number(2);
  if (!digits.take('T')) digits.expect(' ');
  const int hour = digits.number(2);
  digits.expect(':');
  const int minute = digits.number(2);
  digits.expect(':');
  int second = digits.number(2);
  const int ms = milliseconds(digits);
  const int zone = zone_minutes(digits);

  if (digits.failed() || !digits.at_end()) return std::nullopt;
  if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return std::nullopt;
  if (hour > 23 || minute > 59 || second > 60) return std::nullopt;
  if (second == 60) second = 59;

  const std::int64_t minutes =
      (days_since_epoch(year, month, day) * 24 + hour) * 60 + minute - zone;
  return (minutes * 60 + second) * 1000 + ms;
}

}  // namespace sluice::ingest
