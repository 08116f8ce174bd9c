#include "recordlog/copy.h"

#include <atomic>
#include <thread>

#include "recordlog/inspect.h"
#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

constexpr OrganisationId kOrganisation{7};

// Opens the copy, and finds it whole: offsets without a gap, each record what it says.
std::size_t records_in(FileSystem& disk, const std::string& directory) {
  LocalSettings settings;
  settings.directory = directory;
  settings.partitions = 1;
  settings.segment_bytes = 64 * kKiB;
  ManualClock clock;
  Metrics metrics;
  auto log = open_local(settings, {disk, clock, metrics});
  EXPECT_TRUE(log.has_value()) << log.error().message;
  if (!log) return 0;
  EXPECT_TRUE((*log)->health().has_value()) << (*log)->health().error().message;
  const ReadAll all = read_all(**log, kOrganisation);
  EXPECT_FALSE(all.error.has_value());
  EXPECT_EQ(all.damaged, 0u);
  for (std::size_t i = 0; i < all.records.size(); ++i) {
    EXPECT_EQ(all.records[i].offset, plus(all.records[0].offset, i));
    EXPECT_EQ(all.records[i].id, static_cast<std::int64_t>(all.records[i].offset.value()));
  }
  return all.records.size();
}

std::size_t files_in(FileSystem& disk, const std::string& directory) {
  const auto names = disk.list(directory);
  return names ? names->size() : 0;
}

TEST(CopyLog, OfALogInUseHasAllThatWasAcknowledged) {
  testing::FaultyDisk disk;
  TestLog log(disk);
  ASSERT_TRUE(log.open());
  std::atomic<std::int64_t> acknowledged = 0;
  std::atomic<bool> enough = false;
  std::thread writer([&] {
    for (std::int64_t next = 0; !enough; next += 20) {
      ASSERT_TRUE(log.append(kOrganisation, next, 20, 200));
      acknowledged = next + 20;
    }
  });
  while (acknowledged < 1000) std::this_thread::yield();  // beyond the first segment
  std::vector<std::int64_t> before;
  for (int i = 0; i < 10; ++i) {
    before.push_back(acknowledged);
    const auto done = copy_log(disk, TestLog::kDirectory, "/copy" + std::to_string(i));
    EXPECT_TRUE(done.has_value()) << done.error().message;
  }
  enough = true;
  writer.join();
  for (int i = 0; i < 10; ++i) {
    const std::string copy = "/copy" + std::to_string(i);
    const auto findings = verify_log(disk, copy);
    ASSERT_TRUE(findings.has_value());
    EXPECT_TRUE(findings->empty()) << findings->front().message;
    EXPECT_GE(records_in(disk, copy),
              static_cast<std::size_t>(before[static_cast<std::size_t>(i)]));
    EXPECT_EQ(files_in(disk, copy + "/quarantine"), 0u);
  }
}

TEST(CopyLog, KeepsTheNextOffsetsOfWhatRetentionTook) {
  testing::FaultyDisk disk;
  TestLog log(disk);
  log.settings.retention_s = 3600;
  ASSERT_TRUE(log.open());
  ASSERT_TRUE(log.append(kOrganisation, 0, 10));
  ASSERT_TRUE(log.open());  // seals the segment
  log.clock.advance_s(7200);
  ASSERT_TRUE(log.append(OrganisationId{8}, 0, 1));
  ASSERT_TRUE(log.open());
  ASSERT_TRUE(copy_log(disk, TestLog::kDirectory, "/copy"));
  log.close();
  TestLog other(disk);
  LocalSettings settings = log.settings;
  settings.directory = "/copy";
  ManualClock clock;
  Metrics metrics;
  const auto copy = open_local(settings, {disk, clock, metrics});
  ASSERT_TRUE(copy.has_value()) << copy.error().message;
  EXPECT_EQ((*copy)->end(kOrganisation), Offset{10});
  EXPECT_EQ((*copy)->end(OrganisationId{8}), Offset{1});
}

TEST(CopyLog, WantsALog) {
  testing::FaultyDisk disk;
  ASSERT_TRUE(disk.create_directories("/nothing"));
  const auto done = copy_log(disk, "/nothing", "/copy");
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, ErrorCode::NotFound);
}

// A group that is being written is left out, whole.
TEST(CopyLog, EndsBeforeATornGroup) {
  testing::FaultyDisk disk;
  TestLog log(disk);
  ASSERT_TRUE(log.open());
  ASSERT_TRUE(log.append(kOrganisation, 0, 10));
  disk.arm({.number = 1,
            .operations = mask(testing::DiskOperation::Write),
            .times = testing::kForever,
            .torn = true});
  EXPECT_FALSE(log.append(kOrganisation, 10, 400, 500).has_value());
  disk.heal();
  ASSERT_TRUE(copy_log(disk, TestLog::kDirectory, "/copy"));
  log.close();
  EXPECT_GE(records_in(disk, "/copy"), 10u);
  EXPECT_EQ(files_in(disk, "/copy/quarantine"), 0u);
}

}  // namespace
}  // namespace sluice::recordlog
