#pragma once
#include <chrono>
#include <optional>
#include <string_view>

#include "base/clock.h"

namespace sluice::egress {

// What a Retry-After header asks for: a number of seconds or an HTTP date, never negative, at most
// a year. nullopt: it is neither.
std::optional<std::chrono::milliseconds> parse_retry_after(std::string_view value, WallTime now);

}  // namespace sluice::egress
