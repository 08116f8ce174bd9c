#include "egress/gather.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

namespace sluice::egress {
namespace {

// Both ways of reading give the same bytes, whatever the parts and however few are taken at a time.
TEST(Gather, GivesItsBytesInOrder) {
  const unsigned seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int run = 0; run < 300; ++run) {
    const std::string head(1 + random() % 30, 'h');
    std::vector<std::string> texts(random() % 40);
    for (std::string& text : texts) {
      text.resize(random() % 4 == 0 ? 0 : random() % 50);
      for (char& c : text) c = static_cast<char>('a' + random() % 26);
    }
    const std::vector<std::string_view> parts(texts.begin(), texts.end());
    std::string all = head;
    for (const std::string& text : texts) all += text;

    Gather by_parts(head, parts);
    Gather by_pieces(head, parts);
    EXPECT_EQ(by_parts.body_bytes(), all.size() - head.size());
    std::string from_parts;
    while (!by_parts.done()) {
      std::array<iovec, 3> some;
      std::string offered;
      const std::size_t filled = by_parts.fill(some);
      for (std::size_t i = 0; i < filled; ++i) {
        ASSERT_GT(some[i].iov_len, 0u);
        offered.append(static_cast<const char*>(some[i].iov_base), some[i].iov_len);
      }
      const std::size_t taken = 1 + random() % offered.size();
      from_parts += offered.substr(0, taken);
      by_parts.advance(taken);
      EXPECT_EQ(by_parts.body_sent(), std::max(from_parts.size(), head.size()) - head.size());
    }
    std::string from_pieces;
    while (!by_pieces.done()) {
      std::array<char, 16> room;
      const std::string piece(by_pieces.piece(room));
      ASSERT_EQ(piece, by_pieces.piece(room));
      ASSERT_EQ(piece.size(), std::min(room.size(), all.size() - from_pieces.size()));
      const std::size_t taken = 1 + random() % piece.size();
      from_pieces += piece.substr(0, taken);
      by_pieces.advance(taken);
    }
    ASSERT_EQ(from_parts, all);
    ASSERT_EQ(from_pieces, all);
  }
}

TEST(Gather, DoesNotCopyWhatLiesTogether) {
  const std::string part(100, 'x');
  const std::vector<std::string_view> parts = {part};
  Gather gather("h", parts);
  gather.advance(1);
  std::array<char, 64> room;
  EXPECT_EQ(gather.piece(room).data(), part.data());
}

}  // namespace
}  // namespace sluice::egress
