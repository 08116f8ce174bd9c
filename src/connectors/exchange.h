#pragma once
// What connectors show of a request and its answer, to the attempts log and the inspector.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace sluice::connectors {

inline constexpr std::size_t kShownBodyBytesMax = 4 * kKiB;
inline constexpr std::size_t kShownHeaderBytesMax = 8 * kKiB;

// The beginning of a body, in whole UTF-8 characters.
std::string shown_body(const std::vector<std::string_view>& parts);
std::string shown_body(std::string body);

// Adds "name: value\n" while there is room.
void show_header(std::string& headers, std::string_view name, std::string_view value);

// Crosses out every copy of the secrets; of those that contain each other, the longer comes first.
// Ones of less than 4 bytes stay: they would cross out ordinary words.
void mask(std::string& text, const std::vector<std::string>& secrets);

}  // namespace sluice::connectors
