#include "recordlog/local/reader.h"

#include <gtest/gtest.h>

#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

using testing::DiskOperation;
using testing::FaultyDisk;

constexpr OrganisationId kAcme{1};
constexpr OrganisationId kBolt{2};

class ReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log_.settings.segment_bytes = 1 * kMiB;
    ASSERT_TRUE(log_.open());
  }
  // How many records each read brings.
  std::vector<std::uint32_t> reads() {
    std::vector<std::uint32_t> counts;
    const auto reader = log_->reader(kAcme, kAllKinds);
    for (Offset at; at < log_->end(kAcme);) {
      const auto read = reader->read(at);
      if (!read || !read->chunk || read->chunk->first != at) return {};
      counts.push_back(read->chunk->count());
      at = read->resume;
    }
    return counts;
  }

  FaultyDisk disk_;
  TestLog log_{disk_};
};

TEST_F(ReaderTest, SmallChunksThatFollowOneAnotherAreReadAsOne) {
  std::string joined;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(log_.append(kAcme, i, 1 + i % 2));
    ASSERT_TRUE(log_.append(kBolt, i, 1));
    for (int n = i; n <= i + i % 2; ++n) joined += record_text(kAcme, n) + ",";
  }
  joined.pop_back();
  const auto read = log_->reader(kAcme, kAllKinds)->read(Offset{0});
  ASSERT_TRUE(read && read->chunk);
  const Chunk& chunk = *read->chunk;
  EXPECT_EQ(read->resume, Offset{15});
  EXPECT_EQ(chunk.organisation, kAcme);
  EXPECT_EQ(chunk.kind, Kind::Event);
  EXPECT_EQ(chunk.first, Offset{0});
  ASSERT_EQ(chunk.count(), 15u);
  EXPECT_EQ(chunk.joined, joined);
  EXPECT_EQ(chunk.records(0, 15), joined);
  EXPECT_EQ(chunk.record(14), record_text(kAcme, 10));
  EXPECT_EQ(chunk.columns[14].id, 10);

  const auto from_the_middle = log_->reader(kAcme, kAllKinds)->read(Offset{5});
  ASSERT_TRUE(from_the_middle && from_the_middle->chunk);
  EXPECT_EQ(from_the_middle->chunk->first, Offset{4}) << "the chunk that holds it";
  EXPECT_EQ(from_the_middle->chunk->end(), Offset{15});
}

TEST_F(ReaderTest, OtherKindsAndTimesStayApart) {
  ASSERT_TRUE(log_.append(kAcme, 0, 1));
  ASSERT_TRUE(log_.append(kAcme, 1, 2));
  ASSERT_TRUE(log_.append(kAcme, 3, 1, 60, Kind::Usage));
  ASSERT_TRUE(log_.append(kAcme, 4, 1));
  log_.clock.advance_s(2);
  ASSERT_TRUE(log_.append(kAcme, 5, 1));
  EXPECT_EQ(reads(), (std::vector<std::uint32_t>{3, 1, 1, 1}));
}

TEST_F(ReaderTest, LargeChunksStayApartAndAreReadOnceForAllReaders) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(log_.append(kAcme, i * 20, 20, 1000));
  EXPECT_EQ(reads(), (std::vector<std::uint32_t>{20, 20, 20}));
  const auto one = log_->reader(kAcme, kAllKinds)->read(Offset{20});
  const auto two = log_->reader(kAcme, kAllKinds)->read(Offset{30});
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->chunk, two->chunk);
}

// Small frames, large ones of one request, and large ones of several requests.
TEST_F(ReaderTest, WhoHasAReaderNeedsNoFileForWhatIsNew) {
  auto reader = log_->reader(kAcme, kAllKinds);
  const auto append = [&](int first, int count, std::size_t size) {
    RequestMaker maker;
    maker.group(kAcme, Kind::Event);
    for (int i = first; i < first + count; ++i) maker.record(record_text(kAcme, i, size), i);
    AppendRequest request = maker.make();
    request.payload_bytes = static_cast<std::uint64_t>(count) * size;
    ASSERT_TRUE(append_and_wait(*log_, std::move(request)));
  };
  for (int i = 0; i < 3; ++i) append(i, 1, 60);
  append(3, 50, 1000);
  append(53, 50, 1000);
  disk_.arm({.number = 1,
             .operations = DiskOperation::Read | DiskOperation::Open,
             .times = testing::kForever});
  std::vector<std::string> records;
  for (Offset at; at < log_->end(kAcme);) {
    const auto read = reader->read(at);
    ASSERT_TRUE(read && read->chunk) << at.value();
    for (std::uint32_t i = 0; i < read->chunk->count(); ++i) {
      EXPECT_EQ(read->chunk->columns[i].id, static_cast<std::int64_t>(records.size()));
      records.emplace_back(read->chunk->record(i));
    }
    at = read->resume;
  }
  disk_.heal();
  reader.reset();
  ASSERT_TRUE(log_.open()) << "with nothing in memory";
  const ReadAll all = read_all(*log_, kAcme);
  ASSERT_EQ(all.records.size(), 103u);
  ASSERT_EQ(records.size(), all.records.size());
  for (std::size_t i = 0; i < records.size(); ++i) EXPECT_EQ(records[i], all.records[i].bytes);
}

TEST_F(ReaderTest, WithoutAReaderNothingIsKept) {
  ASSERT_TRUE(log_.append(kAcme, 0, 1));
  ASSERT_TRUE(log_.append(kAcme, 1, 50, 1000));
  disk_.arm({.number = 1,
             .operations = DiskOperation::Read | DiskOperation::Open,
             .times = testing::kForever});
  const auto reader = log_->reader(kAcme, kAllKinds);
  EXPECT_FALSE(reader->read(Offset{0}));
  EXPECT_FALSE(reader->read(Offset{1}));
}

// A payload that is mostly something else would hold more memory than the cache may.
TEST_F(ReaderTest, APayloadIsHeldOnlyWhereTheChunkIsMostOfIt) {
  const auto reader = log_->reader(kAcme, kAllKinds);
  std::vector<bool> held;
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{50'000}, 1 * kMiB}) {
    RequestMaker maker;
    maker.group(kAcme, Kind::Event);
    for (int i = 0; i < 50; ++i) maker.record(record_text(kAcme, i, 1000), i);
    AppendRequest request = maker.make();
    request.payload_bytes = bytes;
    const std::weak_ptr<const void> payload = request.payload;
    ASSERT_TRUE(append_and_wait(*log_, std::move(request)));
    ASSERT_TRUE(log_.append(kAcme, 50, 1)) << "the commit thread is through with the one before";
    held.push_back(!payload.expired());
  }
  EXPECT_EQ(held, (std::vector<bool>{false, true, false}));
  const ReadAll all = read_all(*log_, kAcme);
  ASSERT_EQ(all.records.size(), 153u);
  EXPECT_EQ(all.records[52].bytes, record_text(kAcme, 1, 1000));
}

TEST_F(ReaderTest, WhatIsReadAtOnceIsBounded) {
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(log_.append(kAcme, i, 1, 10'000));
  for (const std::uint32_t count : reads()) EXPECT_LE(count, 13u);
}

TEST_F(ReaderTest, ADamagedChunkAmongSmallOnesIsLostAlone) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(log_.append(kAcme, i, 1));
  log_.close();
  const std::string path = std::string(TestLog::kDirectory) + "/p0/" + segment_name(1);
  const std::string bytes = *read_file(disk_, path);
  const auto file = disk_.open(path, OpenMode::ReadWrite);
  ASSERT_TRUE(file);
  char other = 'X';
  const iovec piece{&other, 1};
  ASSERT_TRUE((*file)->write_at(bytes.find(record_text(kAcme, 5)) + 3, {&piece, 1}));
  ASSERT_TRUE(log_.open());
  const ReadAll all = read_all(*log_, kAcme);
  ASSERT_EQ(all.records.size(), 9u);
  EXPECT_EQ(all.records[4].offset, Offset{4});
  EXPECT_EQ(all.records[5].offset, Offset{6});
  EXPECT_EQ(all.damaged, 1u);
}

}  // namespace
}  // namespace sluice::recordlog
