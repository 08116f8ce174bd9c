#include "base/duration.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <optional>

namespace sluice {
namespace {

std::optional<std::int64_t> unit_ms(std::string_view unit) {
  if (unit == "ms") return 1;
  if (unit == "s") return 1000;
  if (unit == "m") return 60'000;
  if (unit == "h") return 3'600'000;
  if (unit == "d") return 86'400'000;
  return std::nullopt;
}

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr std::int64_t kUnitsMax = 1'000'000'000;  // as days they still fit
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const auto unit = unit_ms(text.substr(static_cast<std::size_t>(end - text.data())));
  if (error != std::errc() || count < 0 || count > kUnitsMax || !unit) {
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("'{}' is no duration; write 250ms, 10s, 5m, 1h or 2d", text)};
  }
  return std::chrono::milliseconds(count * *unit);
}

}  // namespace sluice
