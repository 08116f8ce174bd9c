#include "connectors/exchange.h"

#include <gtest/gtest.h>

namespace sluice::connectors {
namespace {

TEST(ShownBody, IsCutBetweenCharacters) {
  EXPECT_EQ(shown_body({"[", "1", "]"}), "[1]");
  EXPECT_EQ(shown_body(std::string("")), "");
  const std::string full(kShownBodyBytesMax, 'x');
  EXPECT_EQ(shown_body({full}), full);
  EXPECT_EQ(shown_body({full, "y"}), full);
  EXPECT_EQ(shown_body(full + "y"), full);
  const std::string almost(kShownBodyBytesMax - 1, 'x');
  EXPECT_EQ(shown_body({almost, "\u20ac"}), almost);  // three bytes
  EXPECT_EQ(shown_body(almost + "\u20ac"), almost);
  EXPECT_EQ(shown_body(std::string(5000, '\x80')), "");  // no UTF-8 at all
}

TEST(ShownHeaders, HaveABound) {
  std::string headers;
  show_header(headers, "A", "b");
  show_header(headers, "Long", std::string(kShownHeaderBytesMax, 'x'));
  show_header(headers, "Empty", "");
  EXPECT_EQ(headers, "A: b\nEmpty: \n");
}

TEST(Mask, CrossesOutEveryCopyButOfShortOnes) {
  std::string text = "Bearer abcdef, abcdef and ab; abcdefabcdef";
  mask(text, {"Bearer abcdef", "abcdef", "ab", ""});
  EXPECT_EQ(text, "***, *** and ab; ******");
}

}  // namespace
}  // namespace sluice::connectors
