#include "ingest/delimiter.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "ingest/padded_text.h"

namespace sluice::ingest {
namespace {

// One character at a time.
std::size_t obvious_end_of_value(std::string_view text, std::size_t begin) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t at = begin; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string && c == '\\') {
      ++at;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '{' || c == '[')) {
      ++depth;
    } else if (!in_string && (c == '}' || c == ']')) {
      if (--depth == 0) return at + 1;
    }
  }
  return text.npos;
}

TEST(Delimiter, IgnoresBracketsAndQuotesInStrings) {
  const http::Body body = make_body(R"({"a}":"]\"}{","b":[{},"\\"]},{"next":1})");
  EXPECT_EQ(end_of_value(body.view(), 0), 28u);
}

TEST(Delimiter, DoesNotBelieveWhatLiesBehindTheText) {
  for (std::size_t size = 1; size < 200; ++size) {
    const http::Body body = make_body("{" + std::string(size - 1, ' '));
    ASSERT_EQ(end_of_value(body.view(), 0), std::string_view::npos) << size;
  }
}

TEST(Delimiter, CarriesStringsAndEscapesFromBlockToBlock) {
  for (std::size_t fill = 0; fill < 200; ++fill) {
    for (const char* const ending : {"\"}", "\\\"}\"}", "\\\\\"}", "\\\\\\\"}\"}"}) {
      const std::string text = "{\"" + std::string(fill, 'x') + ending;
      const http::Body body = make_body(text + "}");
      ASSERT_EQ(end_of_value(body.view(), 0), text.size()) << fill << ' ' << ending;
    }
  }
}

// Outside of strings no backslash is valid JSON; there the two may differ.
TEST(Delimiter, AgreesWithTheObviousWalkOnRandomText) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  constexpr std::string_view kOutside = "{}[]{}[]:, x";
  constexpr std::string_view kInside = "{}[]\\\\\\ x";
  for (int i = 0; i < 100'000; ++i) {
    std::string text = "{";
    while (text.size() < random() % 400) {
      if (random() % 4 != 0) {
        text += kOutside[random() % kOutside.size()];
        continue;
      }
      text += '"';
      for (auto length = random() % 100; length > 0; --length) {
        text += kInside[random() % kInside.size()];
        if (text.back() == '\\') text += "\\\"n"[random() % 3];
      }
      text += '"';
    }
    const http::Body body = make_body(text);
    ASSERT_EQ(end_of_value(body.view(), 0), obvious_end_of_value(text, 0)) << text;
  }
}

}  // namespace
}  // namespace sluice::ingest
