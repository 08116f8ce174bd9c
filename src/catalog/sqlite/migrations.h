#pragma once
#include <span>
#include <string_view>

namespace sluice::catalog {

// The SQL of migrations/, in order: the n-th brings a catalog from version n-1 to n. A released one
// is never edited.
std::span<const std::string_view> migrations();

}  // namespace sluice::catalog
