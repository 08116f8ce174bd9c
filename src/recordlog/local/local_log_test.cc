#include "recordlog/local/local_log.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <random>

#include "recordlog/local/group_builder.h"
#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

using testing::DiskOperation;
using testing::FaultyDisk;

constexpr OrganisationId kAcme{1};
constexpr OrganisationId kBolt{2};

TEST(LocalLog, GivesBackWhatWasAppendedWithOffsetsFromZero) {
  FaultyDisk disk;
  TestLog log(disk);
  ASSERT_TRUE(log.open());
  EXPECT_EQ(log->end(kAcme), Offset{0});
  ASSERT_TRUE(log.append(kAcme, 100, 3));
  ASSERT_TRUE(log.append(kBolt, 200, 1));
  ASSERT_TRUE(log.append(kAcme, 103, 1));
  EXPECT_EQ(log->end(kAcme), Offset{4});
  const ReadAll all = read_all(*log, kAcme);
  ASSERT_EQ(all.records.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(all.records[i],
              (StoredRecord{Offset(i), Kind::Event, record_text(kAcme, 100 + i), 100 + i}));
  }
  EXPECT_EQ(read_all(*log, kBolt).records.size(), 1u);
  EXPECT_TRUE(log->health());
}

TEST(LocalLog, FindsEverythingAgainAfterACleanStop) {
  FaultyDisk disk;
  TestLog log(disk);
  ASSERT_TRUE(log.open());
  ASSERT_TRUE(log.append(kAcme, 0, 5));
  log.close();
  disk.power_cut();
  ASSERT_TRUE(log.open());
  EXPECT_EQ(log->end(kAcme), Offset{5});
  ASSERT_TRUE(log.append(kAcme, 5, 5));
  const ReadAll all = read_all(*log, kAcme);
  ASSERT_EQ(all.records.size(), 10u);
  EXPECT_EQ(all.records[9].bytes, record_text(kAcme, 9));
  EXPECT_EQ(all.records[9].offset, Offset{9});
  EXPECT_EQ(all.damaged + all.aged_out, 0u);
}

}  // namespace
}  // namespace sluice::recordlog
