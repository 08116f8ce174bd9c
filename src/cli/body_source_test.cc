#include "cli/body_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace sluice::cli {
namespace {

struct Piece {
  std::string bytes;
  BodyForm form;
  std::uint64_t first_line;
};

bool never() { return false; }

// A file without a name that holds `text`, to be read from its start.
int file_with(std::string_view text) {
  char path[] = "/tmp/sluice_body_source_XXXXXX";
  const int fd = ::mkstemp(path);
  EXPECT_GE(fd, 0);
  ::unlink(path);
  EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ::lseek(fd, 0, SEEK_SET);
  return fd;
}

std::vector<Piece> pieces_of(BodySource& source) {
  std::vector<Piece> pieces;
  for (;;) {
    const auto body = source.next();
    EXPECT_TRUE(body.has_value()) << body.error().message;
    if (!body || !*body) return pieces;
    pieces.push_back({std::string((*body)->bytes), (*body)->form, (*body)->first_line});
  }
}

std::vector<Piece> pieces_of(std::string_view text) {
  BodySource source(file_with(text), "test", never);
  return pieces_of(source);
}

TEST(BodySource, TheFirstBytesTellTheForm) {
  const struct {
    std::string_view text;
    BodyForm form;
  } cases[] = {
      {"{\"id\":1}\n{\"id\":2}\n", BodyForm::Lines},
      {"{\"id\":1}\r\n{\"id\":2}", BodyForm::Lines},
      {"\xef\xbb\xbf\n \n{\"id\":1}\n", BodyForm::Lines},
      {"[{\"id\":1}]", BodyForm::Json},
      {"\xef\xbb\xbf  [\n{\"id\":1}]\n", BodyForm::Json},
      {"{\n  \"id\": 1\n}\n", BodyForm::Json},
      {"{\"id\":1}", BodyForm::Json},
      {"{\"id\":1}{\"id\":2}", BodyForm::Json},
      {"rubbish", BodyForm::Lines},
      {"\n\n", BodyForm::Lines},
  };
  for (const auto& each : cases) {
    const std::vector<Piece> pieces = pieces_of(each.text);
    ASSERT_EQ(pieces.size(), 1U) << each.text;
    EXPECT_EQ(pieces[0].form, each.form) << each.text;
    EXPECT_EQ(pieces[0].bytes, each.text);
  }
}

TEST(BodySource, AnEmptyFileHasNoBody) { EXPECT_TRUE(pieces_of("").empty()); }

TEST(BodySource, CutsAtLineEndsAndLosesNothing) {
  std::string text;
  for (int i = 0; text.size() < 3'500'000; ++i) {
    text += "{\"id\":" + std::to_string(i) + ",\"pad\":\"" +
            std::string(static_cast<std::size_t>(i * 37 % 2000), 'x') + "\"}\n";
  }
  const std::vector<Piece> pieces = pieces_of(text);
  EXPECT_GE(pieces.size(), 4U);
  std::string joined;
  std::uint64_t line = 1;
  for (const Piece& piece : pieces) {
    EXPECT_LE(piece.bytes.size(), BodySource::kBodyBytes);
    EXPECT_EQ(piece.bytes.back(), '\n');
    EXPECT_EQ(piece.first_line, line);
    line += static_cast<std::uint64_t>(std::count(piece.bytes.begin(), piece.bytes.end(), '\n'));
    joined += piece.bytes;
  }
  EXPECT_TRUE(joined == text);
}

TEST(BodySource, ALongLineGoesAlone) {
  const std::string longer = "{\"pad\":\"" + std::string(1'500'000, 'x') + "\"}\n";
  const std::vector<Piece> pieces = pieces_of("{\"id\":1}\n" + longer + "{\"id\":2}\n{\"id\":3}");
  ASSERT_EQ(pieces.size(), 3U);
  EXPECT_EQ(pieces[0].bytes, "{\"id\":1}\n");
  EXPECT_TRUE(pieces[1].bytes == longer);
  EXPECT_EQ(pieces[2].bytes, "{\"id\":2}\n{\"id\":3}");
  EXPECT_EQ(pieces[2].first_line, 3U);
}

TEST(BodySource, AnArrayIsNotCutAndTooLargeAnArrayIsRefused) {
  EXPECT_EQ(pieces_of("[" + std::string(3'000'000, ' ') + "]").size(), 1U);
  BodySource source(file_with("[" + std::string(BodySource::kWholeBytesMax + 1, ' ')), "big",
                    never);
  const auto body = source.next();
  ASSERT_FALSE(body.has_value());
  EXPECT_EQ(body.error().code, ErrorCode::ResourceExhausted);
}

TEST(BodySource, AnEndlessLineIsRefused) {
  BodySource source(file_with("{}\n" + std::string(BodySource::kWholeBytesMax + 2'000'000, 'x')),
                    "big", never);
  for (;;) {
    const auto body = source.next();
    if (!body) {
      EXPECT_EQ(body.error().code, ErrorCode::ResourceExhausted);
      break;
    }
    ASSERT_TRUE(body->has_value());
  }
}

// `tail -f file | sluice ingest usage -`: what is there goes out while the writer thinks.
TEST(BodySource, ASilentPipeDoesNotHoldLinesBack) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "{\"id\":1}\n{\"id\"", 14), 14);
  BodySource source(ends[0], "pipe", never);
  const auto first = source.next();
  ASSERT_TRUE(first.has_value() && first->has_value());
  EXPECT_EQ((*first)->bytes, "{\"id\":1}\n");
  ASSERT_EQ(::write(ends[1], ":2}\n", 4), 4);
  ::close(ends[1]);
  const auto second = source.next();
  ASSERT_TRUE(second.has_value() && second->has_value());
  EXPECT_EQ((*second)->bytes, "{\"id\":2}\n");
  EXPECT_EQ((*second)->first_line, 2U);
  EXPECT_FALSE((*source.next()).has_value());
}

TEST(BodySource, AUserMayStopASilentPipe) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  int asked = 0;
  BodySource source(ends[0], "pipe", [&asked] { return ++asked > 2; });
  const auto body = source.next();
  ASSERT_FALSE(body.has_value());
  EXPECT_EQ(body.error().code, ErrorCode::Cancelled);
  ::close(ends[1]);
}

TEST(BodySource, AMissingFileIsNamed) {
  const auto source = BodySource::open("/nonexistent/records.ndjson", never);
  ASSERT_FALSE(source.has_value());
  EXPECT_NE(source.error().message.find("/nonexistent/records.ndjson"), std::string::npos);
}

}  // namespace
}  // namespace sluice::cli
