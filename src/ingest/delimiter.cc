#include "ingest/delimiter.h"

#include <bit>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace sluice::ingest {
namespace {

constexpr std::size_t kBlock = 64;

// One bit a byte of a block.
struct Marks {
  std::uint64_t quotes = 0;
  std::uint64_t backslashes = 0;
  std::uint64_t brackets = 0;
};

// '[' and '{', ']' and '}' differ in this bit only, and from every other pair of characters.
constexpr char kBraceBit = 0x20;
static_assert(('[' | kBraceBit) == '{' && (']' | kBraceBit) == '}');

#if defined(__SSE2__)

Marks mark(const char* block) {
  Marks marks;
#pragma GCC unroll 4
  for (unsigned i = 0; i < kBlock; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + i));
    const __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(kBraceBit));
    const __m128i brackets = _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')),
                                          _mm_cmpeq_epi8(folded, _mm_set1_epi8('}')));
    const auto bits = [i](__m128i equal) {
      return std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(equal))} << i;
    };
    marks.quotes |= bits(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
    marks.backslashes |= bits(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    marks.brackets |= bits(brackets);
  }
  return marks;
}

#else

Marks mark(const char* block) {
  Marks marks;
  for (unsigned i = 0; i < kBlock; ++i) {
    const char folded = block[i] | kBraceBit;
    marks.quotes |= std::uint64_t{block[i] == '"'} << i;
    marks.backslashes |= std::uint64_t{block[i] == '\\'} << i;
    marks.brackets |= std::uint64_t{folded == '{' || folded == '}'} << i;
  }
  return marks;
}

#endif

// The characters that a backslash escapes. `carry` is 1 when the block before ended with a
// backslash that escapes this block's first character.
std::uint64_t escaped(std::uint64_t backslashes, std::uint64_t& carry) {
  std::uint64_t result = carry;
  carry = 0;
  while (backslashes != 0) {
    const int at = std::countr_zero(backslashes);
    backslashes &= backslashes - 1;
    if ((result >> at & 1) != 0) continue;
    if (at == 63) {
      carry = 1;
    } else {
      result |= std::uint64_t{2} << at;
    }
  }
  return result;
}

// Bit i is the parity of the bits up to i: between an opening quote and its closing one, 1.
std::uint64_t parity_so_far(std::uint64_t bits) {
#pragma GCC unroll 6
  for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
  return bits;
}

}  // namespace

std::size_t end_of_value(std::string_view text, std::size_t begin) {
  std::uint64_t carried_escape = 0;
  std::uint64_t in_string = 0;  // all ones when the block before ended inside a string
  std::uint64_t depth = 0;
  for (std::size_t at = begin; at < text.size(); at += kBlock) {
    const Marks marks = mark(text.data() + at);
    const std::uint64_t quotes = marks.quotes & ~escaped(marks.backslashes, carried_escape);
    const std::uint64_t inside = parity_so_far(quotes) ^ in_string;
    in_string = std::uint64_t{0} - (inside >> 63);

    for (std::uint64_t brackets = marks.brackets & ~inside; brackets != 0;
         brackets &= brackets - 1) {
      const std::size_t bracket = at + static_cast<std::size_t>(std::countr_zero(brackets));
      if ((text.data()[bracket] | kBraceBit) == '{') {
        ++depth;
      } else if (--depth == 0) {
        return bracket < text.size() ? bracket + 1 : std::string_view::npos;
      }
    }
  }
  return std::string_view::npos;
}

}  // namespace sluice::ingest
