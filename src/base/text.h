#pragma once
#include <string_view>

namespace sluice {

// ASCII's control characters, those of `except` aside.
bool has_control(std::string_view text, std::string_view except = "");

}  // namespace sluice
