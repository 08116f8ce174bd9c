#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::formats {

// Appends a JSON number without exponent and with at least `decimals` digits behind the point. No
// digit is lost or rounded. Numbers with an exponent beyond what a volume or price can have are
// appended as they are.
void append_decimal(std::string& out, std::string_view number, std::size_t decimals);

}  // namespace sluice::formats
