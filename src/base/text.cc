#include "base/text.h"

#include <algorithm>

namespace sluice {

bool has_control(std::string_view text, std::string_view except) {
  return std::ranges::any_of(text, [except](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 || byte == 0x7f) && except.find(c) == except.npos;
  });
}

}  // namespace sluice
