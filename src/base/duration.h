#pragma once
#include <chrono>
#include <string_view>

#include "base/result.h"

namespace sluice {

// "250ms", "10s", "5m", "1h", "20d": a whole number and its unit. InvalidArgument names the text.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace sluice
