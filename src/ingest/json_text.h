#pragma once
// What simdjson 3.0 cannot tell about a JSON text.

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::ingest {

// Whether every \uD800..\uDFFF in `json` is one half of a pair. simdjson lets lone low halves pass,
// and high halves that another escape follows. `json` is otherwise valid.
bool surrogates_paired(std::string_view json);

// Overwrites, with 0.5 and blanks, each number that simdjson might refuse for its size: integers
// beyond 64 bits and numbers with a fraction or an exponent. The result is valid JSON if and only
// if the numbers were, and has no integer in their place. Returns the depth of the deepest object
// or array.
std::size_t mask_numbers(std::string& json);

struct SyntaxFault {
  std::size_t position;     // in bytes from the text's begin
  std::string_view reason;  // a constant sentence
};
// Where and why `json`, which a parser has refused, is not valid.
SyntaxFault find_syntax_fault(std::string_view json);

}  // namespace sluice::ingest
