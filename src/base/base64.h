#pragma once
// Base64 (RFC 4648). Both decoders are strict: no blanks, no bits left over, so each value has one
// spelling.

#include <optional>
#include <string>
#include <string_view>

namespace sluice {

std::string base64(std::string_view bytes);  // with padding
void append_base64(std::string& to, std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

std::string base64url(std::string_view bytes);  // without padding
std::optional<std::string> from_base64url(std::string_view text);

}  // namespace sluice
