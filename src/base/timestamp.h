#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// Milliseconds since the epoch of `YYYY-MM-DD`, `T` or one blank, `HH:MM:SS`, then optionally a
// point and 1 to 9 digits, then optionally a zone: `Z`, `+HHMM` or `+HH:MM` (either sign); without
// a zone it is UTC. What is finer than a millisecond is cut off. The date must exist; 24:00 does
// not. A leap second (`:60`) counts as the second before it, as POSIX time has none. Nullopt: none
// of these forms.
std::optional<std::int64_t> parse_timestamp(std::string_view text);

// "2026-11-21T20:00:00.000Z". Years 0 to 9999.
std::string format_timestamp(std::int64_t ms);

}  // namespace sluice
