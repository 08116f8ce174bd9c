#include "recordlog/repair.h"

#include <gtest/gtest.h>
#include <sys/uio.h>

#include "recordlog/local/format.h"
#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

using testing::FaultyDisk;

constexpr OrganisationId kAcme{1};
constexpr const char* kFirst = "/log/p0/00000000000000000001.seg";
constexpr const char* kSecond = "/log/p0/00000000000000000002.seg";
constexpr const char* kThird = "/log/p0/00000000000000000003.seg";

// Three sealed segments of three chunks of 10 records.
class Repair : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int segment = 0; segment < 3; ++segment) {
      ASSERT_TRUE(log_.open());
      for (int chunk = 0; chunk < 3; ++chunk) {
        ASSERT_TRUE(log_.append(kAcme, segment * 30 + chunk * 10, 10));
      }
      log_.close();
    }
  }
  std::unique_ptr<File> open(const char* path) {
    return std::move(disk_.open(path, OpenMode::ReadWrite).value());
  }
  void overwrite(const char* path, std::uint64_t position, std::size_t count) {
    std::string bytes(count, 'X');
    const iovec piece{bytes.data(), bytes.size()};
    ASSERT_TRUE(open(path)->write_at(position, {&piece, 1}));
  }
  std::uint64_t chunk_bytes() {
    std::string bytes(sizeof(ChunkHeader), '\0');
    EXPECT_TRUE(open(kFirst)->read_at(sizeof(SegmentHeader), bytes));
    return read_chunk_header(bytes)->frame_bytes;
  }
  RepairReport repair() {
    const Result<RepairReport> report = repair_log(disk_, log_.clock, "/log");
    EXPECT_TRUE(report) << report.error().message;
    return *report;
  }
  // Damage was found and is gone, a second repair finds none, and a reader tells the loss.
  void expect_repaired(std::uint64_t lost) {
    const RepairReport report = repair();
    EXPECT_FALSE(report.found.empty());
    EXPECT_TRUE(report.left.empty()) << report.left[0].message;
    EXPECT_TRUE(repair().found.empty());
    ASSERT_TRUE(log_.open());
    const ReadAll all = read_all(*log_, kAcme);
    EXPECT_EQ(all.damaged, lost);
    EXPECT_EQ(all.records.size(), 90 - lost);
    EXPECT_GE(log_->end(kAcme), Offset{90});
    ASSERT_TRUE(log_.append(kAcme, 1'000, 1));
    EXPECT_EQ(read_all(*log_, kAcme).records.back().id, 1'000);
    log_.close();
    EXPECT_TRUE(repair().found.empty());
  }
  bool is_in_quarantine(const std::string& name) {
    return disk_.exists("/log/quarantine/" + name).value();
  }

  FaultyDisk disk_;
  TestLog log_{disk_};
};

TEST_F(Repair, OfASoundLogChangesNothing) {
  const std::uint64_t before = disk_.operations();
  const RepairReport report = repair();
  EXPECT_TRUE(report.found.empty());
  EXPECT_LE(disk_.operations() - before, 2u) << "a directory made and synced";
  ASSERT_TRUE(log_.open());
  EXPECT_EQ(read_all(*log_, kAcme).records.size(), 90u);
}

TEST_F(Repair, PutsAGapOverADamagedChunk) {
  overwrite(kFirst, sizeof(SegmentHeader) + chunk_bytes() + 200, 10);
  expect_repaired(10);
  EXPECT_TRUE(is_in_quarantine(
      fmt::format("p0-00000000000000000001-{}.damaged", sizeof(SegmentHeader) + chunk_bytes())));
  const auto findings = verify_log(disk_, "/log");
  ASSERT_TRUE(findings);
  ASSERT_FALSE(findings->empty()) << "what was lost is still told";
  EXPECT_EQ((*findings)[0].first, Offset{10});
  EXPECT_EQ((*findings)[0].end, Offset{20});
}

TEST_F(Repair, PutsAGapOverWhatNobodyKnows) {
  overwrite(kSecond, sizeof(SegmentHeader) + chunk_bytes(), chunk_bytes());
  expect_repaired(10);
}

TEST_F(Repair, OfTheLastChunkKeepsTheFooterBehindTheGap) {
  overwrite(kThird, sizeof(SegmentHeader) + 2 * chunk_bytes(), 70);
  const RepairReport report = repair();
  EXPECT_EQ(report.found.size(), 2u) << "the chunk, and so the footer";
  EXPECT_TRUE(report.left.empty());
  ASSERT_TRUE(log_.open());
  EXPECT_EQ(read_all(*log_, kAcme).records.size(), 80u);
  EXPECT_GE(log_->end(kAcme), Offset{90}) << "no offset is given out twice";
}

TEST_F(Repair, WritesAFooterAnew) {
  const std::uint64_t size = open(kFirst)->size().value();
  overwrite(kFirst, size - 40, 8);
  expect_repaired(0);
}

TEST_F(Repair, WritesASegmentHeaderAnew) {
  overwrite(kFirst, 0, 16);
  expect_repaired(0);
}

TEST_F(Repair, PutsAStandInForAMissingSegment) {
  ASSERT_TRUE(disk_.remove(kSecond));
  expect_repaired(30);
}

TEST_F(Repair, GoesOnAfterAFaultAtAnyChange) {
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(fmt::format("fault at change {}", n));
    FaultyDisk disk({.seed = n});
    TestLog log(disk);
    ASSERT_TRUE(log.open());
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(log.append(kAcme, i * 10, 10));
    log.close();
    const auto file = std::move(disk.open(kFirst, OpenMode::ReadWrite).value());
    std::string bytes(10, 'X');
    const iovec piece{bytes.data(), bytes.size()};
    ASSERT_TRUE(file->write_at(sizeof(SegmentHeader) + 300, {&piece, 1}));
    ASSERT_TRUE(file->sync_data());
    disk.arm({.number = n, .torn = true});
    (void)repair_log(disk, log.clock, "/log");
    const bool fired = disk.fault_fired();
    disk.power_cut();
    const auto report = repair_log(disk, log.clock, "/log");
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->left.empty());
    ASSERT_TRUE(log.open());
    EXPECT_EQ(read_all(*log, kAcme).records.size(), 20u);
    EXPECT_EQ(read_all(*log, kAcme).damaged, 10u);
    if (!fired) break;
  }
}

}  // namespace
}  // namespace sluice::recordlog
