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
  std::uint64_t opening = 0;
  std::uint64_t closing = 0;
};

// '[' and '{', ']' and '}' differ in this bit only, and from every other pair of characters.
constexpr char kBraceBit = 0x20;
static_assert(('[' | kBraceBit) == '{' && (']' | kBraceBit) == '}');

#if defined(__SSE2__)

Marks mark(const char* block) {
  Marks marks;
  for (unsigned i = 0; i < kBlock; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + i));
    const __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(kBraceBit));
    const auto bits = [i](__m128i where, char wanted) {
      const __m128i equal = _mm_cmpeq_epi8(where, _mm_set1_epi8(wanted));
      return std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(equal))} << i;
    };
    marks.quotes |= bits(bytes, '"');
    marks.backslashes |= bits(bytes, '\\');
    marks.opening |= bits(folded, '{');
    marks.closing |= bits(folded, '}');
  }
  return marks;
}

#else

Marks mark(const char* block) {
  Marks marks;
  for (unsigned i = 0; i < kBlock; ++i) {
    const char byte = block[i];
    marks.quotes |= std::uint64_t{byte == '"'} << i;
    marks.backslashes |= std::uint64_t{byte == '\\'} << i;
    marks.opening |= std::uint64_t{(byte | kBraceBit) == '{'} << i;
    marks.closing |= std::uint64_t{(byte | kBraceBit) == '}'} << i;
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

    const std::uint64_t closing = marks.closing & ~inside;
    for (std::uint64_t brackets = (marks.opening & ~inside) | closing; brackets != 0;
         brackets &= brackets - 1) {
      const std::uint64_t lowest = brackets & (0 - brackets);
      if ((closing & lowest) == 0) {
        ++depth;
      } else if (--depth == 0) {
        const std::size_t end = at + static_cast<std::size_t>(std::countr_zero(lowest)) + 1;
        return end <= text.size() ? end : std::string_view::npos;
      }
    }
  }
  return std::string_view::npos;
}

}  // namespace sluice::ingest
