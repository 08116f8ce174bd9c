#include "formats/gzip.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace sluice::formats {
namespace {

std::string plain_of(const std::string& packed, std::size_t size) {
  std::string plain(size + 1, '\0');
  z_stream z{};
  EXPECT_EQ(inflateInit2(&z, 15 + 16), Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<uInt>(packed.size());
  z.next_out = reinterpret_cast<Bytef*>(plain.data());
  z.avail_out = static_cast<uInt>(plain.size());
  EXPECT_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
  plain.resize(z.total_out);
  inflateEnd(&z);
  return plain;
}

TEST(Gzip, PiecesDoNotMatter) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += std::to_string(i * 7919) + ",";
  std::string whole;
  Gzip one;
  one.append(text, whole);
  one.finish(whole);
  std::string pieces;
  Gzip other;
  for (std::size_t at = 0; at < text.size(); at += 1237) {
    other.append(std::string_view(text).substr(at, 1237), pieces);
  }
  other.finish(pieces);
  EXPECT_EQ(whole, pieces);
  EXPECT_LT(whole.size(), text.size() / 2);
  EXPECT_EQ(plain_of(whole, text.size()), text);
  EXPECT_EQ(whole.substr(4, 4), std::string(4, '\0')) << "no time in it";
}

TEST(Gzip, NothingIsAMemberToo) {
  std::string packed;
  Gzip gzip;
  gzip.finish(packed);
  EXPECT_EQ(plain_of(packed, 0), "");
}

}  // namespace
}  // namespace sluice::formats
