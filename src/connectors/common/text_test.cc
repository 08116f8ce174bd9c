#include "connectors/common/text.h"

#include <gtest/gtest.h>

namespace sluice::connectors {
namespace {

TEST(Text, EncodesWhatIsReserved) {
  EXPECT_EQ(percent_encoded("a/b c+\xc3\xa9~_-."), "a%2Fb%20c%2B%C3%A9~_-.");
  EXPECT_EQ(percent_encoded("a/b c", /*keep_slashes=*/true), "a/b%20c");
}

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

TEST(Text, KnowsWhatAHeaderTakes) {
  EXPECT_TRUE(is_visible_ascii("aZ0~!"));
  for (const char* text : {"a b", "a\n", "\x7f", "\xc3\xa9"}) EXPECT_FALSE(is_visible_ascii(text));
}

}  // namespace
}  // namespace sluice::connectors
