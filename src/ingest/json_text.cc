#include "ingest/json_text.h"

#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace sluice::ingest {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::uint32_t hex_unit(std::string_view digits) {
  std::uint32_t unit = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), unit, 16);
  return unit;
}
constexpr bool is_high_half(std::uint32_t unit) { return unit >= 0xD800 && unit <= 0xDBFF; }
constexpr bool is_low_half(std::uint32_t unit) { return unit >= 0xDC00 && unit <= 0xDFFF; }

// The length of the JSON number at the front of `text`; 0 when there is none.
std::size_t number_length(std::string_view text) {
  std::size_t at = text.starts_with('-') ? 1 : 0;
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at > begin;
  };
  if (at < text.size() && text[at] == '0') {
    ++at;
  } else if (!digits()) {
    return 0;
  }
  std::size_t end = at;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (!digits()) return end;
    end = at;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (!digits()) return end;
    end = at;
  }
  return end;
}

bool fits_64_bits(std::string_view number) {
  const char* const end = number.data() + number.size();
  std::int64_t value = 0;
  if (const auto read = std::from_chars(number.data(), end, value);
      read.ec == std::errc() && read.ptr == end) {
    return true;
  }
  std::uint64_t unsigned_value = 0;
  const auto read = std::from_chars(number.data(), end, unsigned_value);
  return read.ec == std::errc() && read.ptr == end;
}

void mask_number(char* number, std::size_t length) {
  // simdjson takes whatever is shorter; and what is longer leaves a blank behind the mask, so that
  // rubbish glued to the number stays rubbish.
  constexpr std::size_t kShortestBeyondReach = std::string_view("1e309").size();
  if (length < kShortestBeyondReach || fits_64_bits({number, length})) return;
  constexpr std::string_view kMask = "0.5";
  const std::size_t sign = *number == '-' ? 1 : 0;  // stays: "--1e400" is not a number
  std::fill_n(std::copy(kMask.begin(), kMask.end(), number + sign), length - sign - kMask.size(),
              ' ');
}

}  // namespace

bool surrogates_paired(std::string_view json) {
  for (std::size_t at = json.find('\\'); at != json.npos; at = json.find('\\', at)) {
    if (json[at + 1] != 'u') {
      at += 2;
      continue;
    }
    const std::uint32_t unit = hex_unit(json.substr(at + 2, 4));
    at += 6;
    if (is_low_half(unit)) return false;
    if (is_high_half(unit)) {
      if (json.substr(at, 2) != "\\u" || !is_low_half(hex_unit(json.substr(at + 2, 4)))) {
        return false;
      }
      at += 6;
    }
  }
  return true;
}

std::size_t mask_numbers(std::string& json) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  for (std::size_t at = 0; at < json.size();) {
    switch (json[at]) {
      case '"':
        for (++at; at < json.size() && json[at] != '"'; ++at) {
          if (json[at] == '\\') ++at;
        }
        ++at;
        break;
      case '{':
      case '[':
        deepest = std::max(deepest, ++depth);
        ++at;
        break;
      case '}':
      case ']':
        if (depth > 0) --depth;
        ++at;
        break;
      default: {
        const std::size_t length = number_length(std::string_view(json).substr(at));
        if (length > 0) mask_number(json.data() + at, length);
        at += std::max<std::size_t>(length, 1);
      }
    }
  }
  return deepest;
}

SyntaxFault find_syntax_fault(std::string_view json) {
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag |
                              rapidjson::kParseValidateEncodingFlag |
                              rapidjson::kParseNumbersAsStringsFlag;
  rapidjson::MemoryStream stream(json.data(), json.size());
  rapidjson::BaseReaderHandler<> ignore;
  rapidjson::Reader reader;
  const rapidjson::ParseResult result = reader.Parse<kFlags>(stream, ignore);
  // RapidJSON refuses some valid numbers too.
  if (!result.IsError() || result.Code() == rapidjson::kParseErrorNumberTooBig) {
    return {0, "It is not a JSON object."};
  }
  return {result.Offset(), rapidjson::GetParseError_En(result.Code())};
}

}  // namespace sluice::ingest
