#include "base/base64.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

// RFC 4648, 10, and bytes that tell the alphabets apart.
TEST(Base64, GoesThereAndBack) {
  const std::pair<std::string, std::string> kPairs[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"\xff\xef\xbe", "/+++"},
      {std::string(2, '\0'), "AAA="},
  };
  for (const auto& [bytes, text] : kPairs) {
    EXPECT_EQ(base64(bytes), text);
    EXPECT_EQ(from_base64(text), bytes);
  }
}

// OpenSSL decodes, we encode.
TEST(Base64, AgreesWithOpenSslOnEveryLengthAndPairOfDigits) {
  std::string bytes;
  for (unsigned i = 0; i < 3 * 4096; ++i) {
    bytes += static_cast<char>(i * 2654435761u >> 24);
    if (i > 300 && i % 1001 != 0) continue;
    EXPECT_EQ(from_base64(base64(bytes)), bytes) << i;
  }
  bytes.clear();
  for (unsigned bits = 0; bits < 4096; ++bits) {
    bytes += {static_cast<char>(bits >> 4), static_cast<char>(bits << 4 | bits >> 8),
              static_cast<char>(bits)};
  }
  EXPECT_EQ(from_base64(base64(bytes)), bytes);
}

TEST(Base64, HasOneSpellingForEachValue) {
  for (const char* text : {"Zg", "Zh==", "Zg==Zm9v", " Zg==", "Zg==\n", "Zm9v=", "====", "Zm-v"}) {
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
  }
}

TEST(Base64Url, HasItsOwnAlphabetAndNoPadding) {
  EXPECT_EQ(base64url("\xff\xef\xbe"), "_---");
  EXPECT_EQ(base64url("f"), "Zg");
  EXPECT_EQ(from_base64url("Zg"), "f");
  for (const char* text : {"Zh", "Zg==", "/+++", "Z"}) {
    EXPECT_EQ(from_base64url(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace sluice
