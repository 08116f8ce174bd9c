// Bytes that change or vanish on a disk: the rest stays readable, what is lost is counted and told,
// offsets are not given out again, and the start never fails.

#include <gtest/gtest.h>
#include <sys/uio.h>

#include "recordlog/inspect.h"
#include "recordlog/local/format.h"
#include "recordlog/local/log_test_support.h"
#include "recordlog/local/partition_files.h"

namespace sluice::recordlog {
namespace {

using testing::FaultyDisk;

constexpr OrganisationId kAcme{1};
constexpr OrganisationId kBolt{2};
constexpr std::uint64_t kMetaBytes = chunk_meta_bytes(0, 10);  // of a chunk of ten records

class DamageTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(log_.open()); }

  // Ten chunks of ten records, five of each organisation, in turn.
  void fill() {
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(log_.append(i % 2 == 0 ? kAcme : kBolt, i / 2 * 10, 10, 100));
    }
  }
  // As a process that is killed: nothing is sealed, nothing of the last second is marked.
  void kill() {
    disk_.power_off();
    log_.close();
    disk_.power_on();
  }
  static std::string segment(std::uint64_t sequence) { return "/log/p0/" + segment_name(sequence); }
  std::string content(const std::string& path) {
    const auto file = std::move(disk_.open(path, OpenMode::Read).value());
    std::string bytes(file->size().value(), '\0');
    EXPECT_TRUE(file->read_at(0, bytes));
    return bytes;
  }
  void overwrite(const std::string& path, std::uint64_t position, std::string bytes) {
    const auto file = std::move(disk_.open(path, OpenMode::ReadWrite).value());
    const iovec piece{bytes.data(), bytes.size()};
    ASSERT_TRUE(file->write_at(position, {&piece, 1}));
    ASSERT_TRUE(file->sync_data());
  }
  std::uint64_t position_of(const std::string& path, const std::string& text) {
    const std::size_t found = content(path).find(text);
    EXPECT_NE(found, std::string::npos);
    return found;
  }
  std::vector<std::string> quarantined() { return disk_.list("/log/quarantine").value(); }
  int damages() {
    const auto findings = verify_log(disk_, "/log");
    EXPECT_TRUE(findings);
    int count = 0;
    for (const Finding& finding : *findings) {
      count += finding.severity == Finding::Severity::Damage ? 1 : 0;
    }
    return count;
  }
  void expect_all_readable() {
    for (const OrganisationId organisation : {kAcme, kBolt}) {
      const ReadAll all = read_all(*log_, organisation);
      EXPECT_EQ(all.records.size(), 50u);
      EXPECT_EQ(all.damaged + all.aged_out, 0u);
    }
  }

  FaultyDisk disk_;
  TestLog log_{disk_};
};

TEST_F(DamageTest, ADamagedChunkOfASealedSegmentIsReportedAndTheRestGoesOn) {
  fill();
  log_.close();
  EXPECT_EQ(damages(), 0);
  overwrite(segment(1), position_of(segment(1), record_text(kAcme, 25, 100)) + 3, "X");
  EXPECT_EQ(damages(), 1);
  ASSERT_TRUE(log_.open());
  EXPECT_TRUE(log_->health()) << "not yet read";
  for (int round = 0; round < 2; ++round) {
    const ReadAll all = read_all(*log_, kAcme);
    ASSERT_EQ(all.records.size(), 40u);
    EXPECT_EQ(all.records[19].offset, Offset{19});
    EXPECT_EQ(all.records[20].offset, Offset{30});
    EXPECT_EQ(all.damaged, 10u);
    EXPECT_EQ(read_all(*log_, kBolt).records.size(), 50u);
    ASSERT_FALSE(log_->health());
    EXPECT_EQ(log_->health().error().code, ErrorCode::Corruption);
    EXPECT_EQ(log_->statistics().quarantined_chunks, 1u);
    ASSERT_EQ(quarantined().size(), 1u);
    EXPECT_TRUE(quarantined()[0].ends_with(".damaged"));
    ASSERT_TRUE(log_.open());
  }
}

TEST_F(DamageTest, ADamagedChunkOfAnUnsealedSegmentIsReportedAndTheRestGoesOn) {
  fill();
  kill();
  overwrite(segment(1), position_of(segment(1), record_text(kAcme, 25, 100)) + 3, "X");
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(log_.open());
    EXPECT_FALSE(log_->health());
    const ReadAll all = read_all(*log_, kAcme);
    EXPECT_EQ(all.records.size(), 40u);
    EXPECT_EQ(all.damaged, 10u);
    EXPECT_EQ(log_->end(kAcme), Offset{50});
  }
}

TEST_F(DamageTest, AChunkWhoseHeaderIsDamagedTooIsCountedAndNoOffsetIsGivenOutAgain) {
  fill();
  kill();
  const std::uint64_t text = position_of(segment(1), record_text(kAcme, 20, 100));
  overwrite(segment(1), text - kMetaBytes + 4, "X");
  ASSERT_TRUE(log_.open());
  EXPECT_FALSE(log_->health());
  const ReadAll all = read_all(*log_, kAcme);
  EXPECT_EQ(all.records.size(), 40u);
  EXPECT_GE(all.damaged, 10u);
  const Offset end = log_->end(kAcme);
  EXPECT_GT(end, Offset{50});
  ASSERT_TRUE(log_.append(kAcme, 50, 1));
  ASSERT_TRUE(log_.open());
  EXPECT_EQ(log_->end(kAcme), next(end));
  EXPECT_EQ(read_all(*log_, kAcme).records.back().offset, end);
}

TEST_F(DamageTest, TheLastChunksBelowTheMarkAreDamageWhenTheyVanish) {
  fill();
  log_.close();  // writes the mark
  const std::uint64_t bytes = content(segment(1)).size();
  const std::uint64_t text = position_of(segment(1), record_text(kBolt, 40, 100));
  overwrite(segment(1), text - kMetaBytes, std::string(bytes - text + kMetaBytes, '\0'));
  ASSERT_TRUE(log_.open());
  EXPECT_FALSE(log_->health());
  EXPECT_EQ(read_all(*log_, kAcme).records.size(), 50u);
  const ReadAll all = read_all(*log_, kBolt);
  EXPECT_EQ(all.records.size(), 40u);
  EXPECT_GE(all.damaged, 10u);
  EXPECT_GE(log_->end(kBolt), Offset{50}) << "else their offsets would be given out again";
}

TEST_F(DamageTest, AnUnfinishedWriteIsPutAsideAndIsNoDamage) {
  fill();
  kill();
  const std::string bytes = content(segment(1));
  const std::size_t end = bytes.find_last_not_of('\0');
  overwrite(segment(1), (end / 8 + 1) * 8, bytes.substr(64, 300));
  EXPECT_EQ(damages(), 0);
  ASSERT_TRUE(log_.open());
  EXPECT_TRUE(log_->health());
  expect_all_readable();
  ASSERT_EQ(quarantined().size(), 1u);
  EXPECT_TRUE(quarantined()[0].ends_with(".torn"));
}

TEST_F(DamageTest, ADamagedFooterIsRebuiltFromTheChunks) {
  fill();
  log_.close();
  const std::string good = content(segment(1));
  const std::size_t footer = good.rfind(std::string("\xFFSI\0", 4));
  // Its entries, its organisations, its header, its trailer.
  for (const std::size_t at :
       {footer + 64 + 2 * 32 + 8, footer + 64 + 3, footer + 20, good.size() - 20}) {
    SCOPED_TRACE(at);
    log_.close();
    if (content(segment(1)).size() == good.size()) overwrite(segment(1), 0, good);
    overwrite(segment(1), at, "\x55");
    EXPECT_GE(damages(), at == footer + 20 ? 0 : 1);
    ASSERT_TRUE(log_.open());
    EXPECT_TRUE(log_->health());
    expect_all_readable();
  }
}

TEST_F(DamageTest, ADamagedSegmentHeaderCostsNothing) {
  fill();
  log_.close();
  overwrite(segment(1), 3, "XXXX");
  EXPECT_EQ(damages(), 1);
  ASSERT_TRUE(log_.open());
  expect_all_readable();
}

TEST_F(DamageTest, AMissingSegmentIsToldCountedAndNotFatal) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(log_.append(kAcme, i * 10, 10));
    ASSERT_TRUE(log_.open());
  }
  log_.close();
  ASSERT_TRUE(disk_.remove(segment(2)));
  EXPECT_EQ(damages(), 1);
  ASSERT_TRUE(log_.open());
  ASSERT_FALSE(log_->health());
  EXPECT_EQ(log_->health().error().code, ErrorCode::Corruption);
  const ReadAll all = read_all(*log_, kAcme);
  EXPECT_EQ(all.records.size(), 20u);
  EXPECT_EQ(all.damaged, 10u);
}

TEST_F(DamageTest, AMissingNewestSegmentDoesNotBringBackItsOffsets) {
  ASSERT_TRUE(log_.append(kAcme, 0, 10));
  ASSERT_TRUE(log_.open());
  ASSERT_TRUE(log_.append(kAcme, 10, 10));
  log_.close();
  ASSERT_TRUE(disk_.remove(segment(2)));
  ASSERT_TRUE(log_.open());
  EXPECT_FALSE(log_->health());
  const Offset end = log_->end(kAcme);
  EXPECT_GE(end, Offset{20});
  ASSERT_TRUE(log_.append(kAcme, 20, 1));
  ASSERT_TRUE(log_.open());
  const ReadAll all = read_all(*log_, kAcme);
  ASSERT_EQ(all.records.size(), 11u);
  EXPECT_EQ(all.records.back().offset, end);
  EXPECT_EQ(all.damaged, end.value() - 10);
}

TEST_F(DamageTest, ADamagedFileOfOffsetsIsTold) {
  ASSERT_TRUE(log_.append(kAcme, 0, 10));
  log_.clock.advance_s(2 * 24 * 3600);
  log_->run_retention();
  log_.clock.advance_s(20 * 24 * 3600);
  log_->run_retention();
  log_.close();
  ASSERT_EQ(content("/log/p0/offsets").size(), 48u);
  overwrite("/log/p0/offsets", 40, "\x63");
  ASSERT_TRUE(log_.open());
  ASSERT_FALSE(log_->health());
  EXPECT_EQ(log_->health().error().code, ErrorCode::Corruption);
}

TEST_F(DamageTest, RubbishInTheDirectoryIsPassedOver) {
  fill();
  log_.close();
  for (const char* name :
       {"/log/p0/readme", "/log/p0/1.seg", "/log/quarantine/p0-x.damaged", "/log/p0/synced.tmp"}) {
    ASSERT_TRUE(disk_.open(name, OpenMode::CreateNew));
  }
  ASSERT_TRUE(log_.open());
  EXPECT_TRUE(log_->health());
  expect_all_readable();
  EXPECT_FALSE(disk_.exists("/log/p0/synced.tmp").value());
}

// Whatever one byte changes to, the start succeeds, nothing is invented and order holds.
TEST_F(DamageTest, AnyChangedByteCostsNoMoreThanItsChunk) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(log_.append(kAcme, i * 2, 2));
  kill();
  const std::string unsealed = content(segment(1)).substr(0, 1'000);
  for (const bool sealed : {false, true}) {
    if (sealed) {
      ASSERT_TRUE(log_.open());
      log_.close();
    }
    const std::string good = sealed ? content(segment(1)) : unsealed;
    for (std::size_t at = sealed ? 1 : 0; at < good.size(); at += 3) {
      SCOPED_TRACE(fmt::format("{} segment, byte {}", sealed ? "sealed" : "unsealed", at));
      FaultyDisk disk;
      ASSERT_TRUE(disk.create_directories("/log/p0"));
      std::string bytes = good;
      bytes[at] = static_cast<char>(bytes[at] ^ 0x41);
      const auto file = std::move(disk.open(segment(1), OpenMode::CreateNew).value());
      const iovec piece{bytes.data(), bytes.size()};
      ASSERT_TRUE(file->write_at(0, {&piece, 1}));
      TestLog log(disk);
      const Result<void> opened = log.open();
      ASSERT_TRUE(opened) << opened.error().message;
      const ReadAll all = read_all(*log, kAcme);
      ASSERT_FALSE(all.error);
      EXPECT_GE(all.records.size(), 4u);
      for (const StoredRecord& record : all.records) {
        ASSERT_EQ(record.bytes, record_text(kAcme, record.id));
        ASSERT_EQ(record.offset.value(), static_cast<std::uint64_t>(record.id));
      }
      ASSERT_TRUE(verify_log(disk, "/log"));
      ASSERT_TRUE(log.append(kAcme, 6, 1));
    }
  }
}

TEST_F(DamageTest, TheOnlySegmentIsMissedWhenItIsGone) {
  fill();
  log_.close();  // writes the mark
  ASSERT_TRUE(disk_.remove(segment(1)));
  ASSERT_TRUE(log_.open());
  ASSERT_FALSE(log_->health());
  EXPECT_NE(log_->health().error().message.find("missing"), std::string::npos);
  ASSERT_TRUE(log_.append(kAcme, 100, 1));
}

TEST_F(DamageTest, ButNotWhenRetentionTookIt) {
  fill();
  log_.close();
  NextOffsets noted;
  noted[kAcme] = noted[kBolt] = Offset{50};
  ASSERT_TRUE(write_next_offsets(disk_, "/log/p0", noted));
  ASSERT_TRUE(disk_.remove(segment(1)));
  ASSERT_TRUE(log_.open());
  EXPECT_TRUE(log_->health());
  EXPECT_EQ(log_->end(kAcme), Offset{50});
}

}  // namespace
}  // namespace sluice::recordlog
