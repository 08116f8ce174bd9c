#include "base/text.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Text, KnowsControlCharacters) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv, "a b~"sv, "\xc3\xa9"sv})
    EXPECT_FALSE(has_control(text));
  for (const std::string_view text : {"\0"sv, "a\tb"sv, "\x1f"sv, "\x7f"sv}) {
    EXPECT_TRUE(has_control(text));
  }
  EXPECT_FALSE(has_control("a\r\nb", "\r\n"));
  EXPECT_TRUE(has_control("a\r\n\tb", "\r\n"));
}

}  // namespace
}  // namespace sluice
