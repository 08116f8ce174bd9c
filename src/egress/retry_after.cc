#include "egress/retry_after.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>

namespace sluice::egress {
namespace {

constexpr std::int64_t kSecondsMax = 365 * 86'400;

}  // namespace

std::optional<std::chrono::milliseconds> parse_retry_after(std::string_view value, WallTime now) {
  if (value.empty()) return std::nullopt;
  std::int64_t ms = 0;
  if (std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    std::int64_t seconds = kSecondsMax;  // stays so when the number overflows
    std::from_chars(value.data(), value.data() + value.size(), seconds);
    ms = std::min(seconds, kSecondsMax) * 1000;
  } else {
    // RFC 9110's three spellings of a date all begin with the weekday's name.
    const char first = value.front();
    const bool letter = (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z');
    const std::time_t date = letter ? curl_getdate(std::string(value).c_str(), nullptr) : -1;
    if (date == -1) return std::nullopt;
    ms = std::clamp<std::int64_t>(std::int64_t{date} * 1000 - now.ms, 0, kSecondsMax * 1000);
  }
  return std::chrono::milliseconds(ms);
}

}  // namespace sluice::egress
