#pragma once
// Whose each secret is, and which: what SecretBox binds it to. Never changes, or nothing opens.

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::catalog {

inline std::string destination_place(std::uint64_t organisation, std::string_view stream) {
  return fmt::format("{}/stream/{}/destination", organisation, stream);
}
inline std::string application_token_place(std::uint64_t organisation, std::string_view key_id) {
  return fmt::format("{}/application_token/{}/secret", organisation, key_id);
}
inline std::string server_place(std::string_view name) { return fmt::format("server/{}", name); }

}  // namespace sluice::catalog
