#pragma once
#include <cstddef>
#include <string_view>

namespace sluice::ingest {

// Where the object or array that begins at `text[begin]` ends: the index behind its last bracket,
// or npos when `text` ends first. Looks at strings, escapes and brackets only: of valid JSON it
// finds the true end; anything else it delimits somehow, for a parser to refuse. Bytes behind
// `text` are read (not used): 63 of them must be readable.
std::size_t end_of_value(std::string_view text, std::size_t begin);

}  // namespace sluice::ingest
