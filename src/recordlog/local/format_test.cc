// The worked example of docs/formats/segment.md, byte for byte: if this fails, segments written by
// the last release can no longer be read, or the document lies.

#include "recordlog/local/format.h"

#include <gtest/gtest.h>
#include <sys/uio.h>

#include <fstream>
#include <sstream>

#include "recordlog/local/index.h"
#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

using testing::FaultyDisk;

// The bytes of the document's block of lines "0040  ff 53 ...".
std::string example_in_document() {
  std::ifstream document(SLUICE_SEGMENT_DOCUMENT);
  std::string line;
  while (std::getline(document, line) && line != "```hex") {
  }
  std::string bytes;
  while (std::getline(document, line) && line != "```") {
    EXPECT_EQ(line.substr(0, 6), fmt::format("{:04x}  ", bytes.size()));
    std::istringstream numbers(line.substr(6));
    for (unsigned value = 0; numbers >> std::hex >> value;) bytes += static_cast<char>(value);
  }
  return bytes;
}

// As the document shows them.
std::string hex_lines(std::string_view bytes) {
  std::string lines;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i % 16 == 0) lines += fmt::format("\n{:04x} ", i);
    lines += fmt::format(" {:02x}", static_cast<unsigned char>(bytes[i]));
  }
  return lines;
}

std::string bytes_of(FileSystem& disk, const std::string& path) {
  const auto file = std::move(disk.open(path, OpenMode::Read).value());
  std::string bytes(file->size().value(), '\0');
  EXPECT_EQ(file->read_at(0, bytes).value(), bytes.size());
  return bytes;
}

TEST(SegmentFormat, TheWorkedExampleIsWhatIsWritten) {
  FaultyDisk disk;
  TestLog log(disk);
  ASSERT_TRUE(log.open());
  RequestMaker maker;
  maker.group(OrganisationId{7}, Kind::Event).record(R"({"id":1})", 1).record(R"({"id":25})", 25);
  AppendRequest request = maker.make();
  request.mark = RequestMark{.accepted = 2, .rejected = 1};
  request.mark->key.fill(0x4B);
  request.mark->body.fill(0x42);
  ASSERT_TRUE(append_and_wait(*log, std::move(request)));
  log.close();
  const std::string written = bytes_of(disk, "/log/p0/00000000000000000001.seg");
  const std::string example = example_in_document();
  EXPECT_TRUE(written == example) << "written is:" << hex_lines(written);
}

TEST(SegmentFormat, HeadersWithAWrongByteAreRefused) {
  ChunkHeader header;
  header.count = 1;
  header.kind = 2;
  header.joined_bytes = 2;
  header.frame_bytes = static_cast<std::uint32_t>(align_up(chunk_meta_bytes(0, 1) + 2));
  set_checksum(header);
  const std::string good(reinterpret_cast<const char*>(&header), sizeof(header));
  ASSERT_TRUE(read_chunk_header(good));
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    EXPECT_FALSE(read_chunk_header(bad)) << "byte " << i;
  }
  EXPECT_FALSE(read_chunk_header(good.substr(1)));
  header.frame_bytes += 8;  // a right checksum over sizes that disagree
  set_checksum(header);
  EXPECT_FALSE(read_chunk_header({reinterpret_cast<const char*>(&header), sizeof(header)}));
}

TEST(SegmentFormat, SegmentNamesSortBySequence) {
  EXPECT_EQ(segment_name(12), "00000000000000000012.seg");
  EXPECT_EQ(sequence_from_name("00000000000000000012.seg"), 12u);
  for (const char* name : {"12.seg", "0000000000000000001x.seg", "00000000000000000012.tmp",
                           "00000000000000000012.seg.tmp", "99999999999999999999.seg"}) {
    EXPECT_FALSE(sequence_from_name(name)) << name;
  }
}

TEST(SegmentFormat, AFooterIsReadBackAsItWasWritten) {
  GrowingIndex growing;
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    IndexEntry entry;
    entry.first_offset = i / 10;
    entry.count = 1;
    entry.kind = 2;
    entry.stored_ms = static_cast<std::int64_t>(i);
    entry.position = static_cast<std::uint32_t>(64 + i * 8);
    growing.add(OrganisationId{i % 10 * 1'000'000'007}, entry);
  }
  growing.add_lost(3);
  FaultyDisk disk;
  const auto file = std::move(disk.open("/segment", OpenMode::CreateNew).value());
  const std::string footer = encode_footer(growing.finish(), {}, 128);
  const iovec piece{const_cast<char*>(footer.data()), footer.size()};
  ASSERT_TRUE(file->write_at(128, {&piece, 1}));
  const Result<SegmentIndex> index = read_index(*file);
  ASSERT_TRUE(index);
  EXPECT_EQ(index->organisations.size(), 10u);
  EXPECT_EQ(index->lost_records_max, 3u);
  EXPECT_EQ(index->newest_stored.ms, 999);
  const auto entries = index->entries_of(OrganisationId{4 * 1'000'000'007ull});
  ASSERT_EQ(entries.size(), 100u);
  EXPECT_EQ(entries[99].first_offset, 99u);
  EXPECT_EQ(entries[99].position, 64u + 994 * 8);
  EXPECT_TRUE(index->entries_of(OrganisationId{5}).empty());
}

}  // namespace
}  // namespace sluice::recordlog
