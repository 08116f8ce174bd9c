#include "connectors/common/text.h"

#include <gtest/gtest.h>

namespace sluice::connectors {
namespace {

TEST(Text, EncodesWhatIsReserved) {
  EXPECT_EQ(percent_encoded("a/b c+\xc3\xa9~_-."), "a%2Fb%20c%2B%C3%A9~_-.");
  EXPECT_EQ(percent_encoded("a/b c", /*keep_slashes=*/true), "a/b%20c");
}

TEST(Text, KnowsWhatAHeaderTakes) {
  EXPECT_TRUE(is_visible_ascii("aZ0~!"));
  for (const char* text : {"a b", "a\n", "\x7f", "\xc3\xa9"}) EXPECT_FALSE(is_visible_ascii(text));
}

}  // namespace
}  // namespace sluice::connectors
