#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::ingest {

// Events of these types carry activation tokens (User invited, Password reset requested, User
// verification requested).
constexpr bool carries_tokens(std::int32_t event_type_id) {
  return event_type_id == 36 || event_type_id == 37 || event_type_id == 40;
}

// `record` with `redacted` in place of
// - each string whose key contains "token" or "jwt" in any case; a string in an array has the
//   array's key;
// - each three-part JWT in a string that is, or lies anywhere within, a `detail` or `description`.
// All other bytes are unchanged. Nullopt: there is nothing to redact.
// `record` is valid JSON; 64 bytes behind it are readable.
std::optional<std::string> redact(std::string_view record);

}  // namespace sluice::ingest
