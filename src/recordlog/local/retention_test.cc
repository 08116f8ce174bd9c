// When segments go: by age, unless the clock is in doubt, and early, if the log is full.

#include <gtest/gtest.h>

#include "recordlog/local/log_test_support.h"
#include "recordlog/local/retention_guard.h"

namespace sluice::recordlog {
namespace {

using testing::DiskOperation;
using testing::FaultyDisk;

constexpr OrganisationId kAcme{1};
constexpr OrganisationId kBolt{2};
constexpr const char* kGuardFile = "/log/DELETION-SUSPENDED";

class Guard : public ::testing::Test {
 protected:
  Guard() { EXPECT_TRUE(disk_.create_directories("/log")); }
  std::unique_ptr<RetentionGuard> start(std::int64_t silent_s) {
    const WallTime newest{clock_.now().ms - silent_s * 1000};
    return std::make_unique<RetentionGuard>(RetentionGuard::Options{"/log", newest, 100}, disk_,
                                            clock_, metrics_);
  }
  bool file_is_there() { return disk_.exists(kGuardFile).value(); }

  FaultyDisk disk_;
  ManualClock clock_;
  Metrics metrics_;
};

TEST_F(Guard, AStartLongAfterTheNewestRecordDeletesNothingForADay) {
  EXPECT_TRUE(start(100)->may_delete());
  const auto late = start(101);
  EXPECT_FALSE(late->may_delete());
  clock_.advance_s(23 * 3600);
  EXPECT_FALSE(late->may_delete());
  EXPECT_TRUE(file_is_there());
  clock_.advance_s(3600);
  EXPECT_TRUE(late->may_delete());
  EXPECT_FALSE(file_is_there());
}

TEST_F(Guard, AStepOfTheClockIsNotForgottenByARestart) {
  auto guard = start(0);
  clock_.step_wall_s(3601);
  EXPECT_FALSE(guard->may_delete());
  clock_.advance_s(23 * 3600);
  guard = start(0);
  clock_.advance_s(2 * 3600);
  EXPECT_FALSE(guard->may_delete()) << "the day begins anew";
  clock_.advance_s(22 * 3600);
  EXPECT_TRUE(guard->may_delete());
}

TEST_F(Guard, AnOperatorConfirmsTheClockByDeletingTheFile) {
  const auto guard = start(101);
  EXPECT_FALSE(guard->may_delete());
  ASSERT_TRUE(disk_.remove(kGuardFile));
  EXPECT_TRUE(guard->may_delete());
  clock_.step_wall_s(3601);
  EXPECT_FALSE(guard->may_delete()) << "a new step is a new doubt";
}

TEST_F(Guard, AFileThatCouldNotBeWrittenIsNoConfirmation) {
  disk_.arm({.number = 1, .times = testing::kForever});
  const auto guard = start(101);
  EXPECT_FALSE(guard->may_delete());
  EXPECT_FALSE(guard->may_delete());
  disk_.heal();
  EXPECT_FALSE(guard->may_delete());
  EXPECT_TRUE(file_is_there());
  EXPECT_FALSE(guard->may_delete());
}

// One partition; segments of 64 KiB; room for four of them.
class FullLog : public ::testing::Test {
 protected:
  FullLog() {
    log_.settings.bytes_max = 4 * 64 * kKiB;
    open();
  }
  void open() {
    ASSERT_TRUE(log_.open());
    log_->set_lowest_cursors([this]() -> std::optional<LowestCursors> { return cursors_; });
  }
  // About half a segment.
  Result<void> append(OrganisationId organisation = kAcme) {
    log_.clock.advance_s(2);  // early deletion is tried once a second
    return log_.append(organisation, 0, 30, 1'000);
  }
  int append_until_full() {
    for (int count = 0; count < 100; ++count) {
      const Result<void> appended = append();
      if (appended) continue;
      EXPECT_EQ(appended.error().code, ErrorCode::ResourceExhausted);
      EXPECT_NE(appended.error().message.find("limits.data_bytes_max"), std::string::npos);
      return count;
    }
    return 100;
  }

  FaultyDisk disk_;
  TestLog log_{disk_};
  std::optional<LowestCursors> cursors_ = LowestCursors{{kAcme, Offset{0}}};
};

TEST_F(FullLog, RefusesAppendsUntilAStreamHasPassedTheOldestSegment) {
  const int appended = append_until_full();
  EXPECT_GT(appended, 6);
  EXPECT_LT(appended, 12);
  EXPECT_FALSE(log_->health());
  const auto stored = static_cast<std::uint64_t>(appended) * 30;
  EXPECT_EQ(read_all(*log_, kAcme).records.size(), stored) << "deliveries go on";

  // Everything but the last record of the first segment.
  const auto first = log_->reader(kAcme, kAllKinds)->read(Offset{0});
  const auto second = log_->reader(kAcme, kAllKinds)->read(first->resume);
  (*cursors_)[kAcme] = Offset{second->resume.value() - 1};
  EXPECT_FALSE(append());
  EXPECT_EQ(read_all(*log_, kAcme).aged_out, 0u);

  (*cursors_)[kAcme] = second->resume;
  EXPECT_TRUE(append());
  EXPECT_TRUE(log_->health());
  const ReadAll rest = read_all(*log_, kAcme);
  EXPECT_EQ(rest.aged_out, second->resume.value()) << "no more than the segment";
  EXPECT_LE(log_->statistics().bytes, log_.settings.bytes_max);
}

TEST_F(FullLog, StaysFullThroughARestart) {
  append_until_full();
  open();
  EXPECT_FALSE(append());
}

TEST_F(FullLog, DeletesNothingEarlyWhileNobodyKnowsTheCursors) {
  append_until_full();
  cursors_.reset();
  EXPECT_FALSE(append());
  cursors_ = LowestCursors{};
  EXPECT_TRUE(append()) << "no organisation has a stream";
}

TEST_F(FullLog, AsksForEveryOrganisationInTheSegment) {
  ASSERT_TRUE(append(kBolt));
  append_until_full();
  (*cursors_)[kAcme] = log_->end(kAcme);
  (*cursors_)[kBolt] = Offset{0};
  EXPECT_FALSE(append());
  (*cursors_)[kBolt] = log_->end(kBolt);
  EXPECT_TRUE(append());
}

TEST_F(FullLog, IsNotEmptiedByPartitionsThatNeedNoRoom) {
  log_.close();
  log_.settings.partitions = 1;
  log_.settings.bytes_max = 0;
  open();
  (*cursors_)[kAcme] = Offset{1'000'000};
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(append());
  EXPECT_EQ(read_all(*log_, kAcme).aged_out, 0u) << "without a limit";
}

TEST(FullDisk, RefusesWithResourceExhaustedAndResumesByItself) {
  FaultyDisk disk;
  TestLog log(disk);
  ASSERT_TRUE(log.open());
  ASSERT_TRUE(log.append(kAcme, 0, 1));
  disk.arm({.number = 1,
            .operations = DiskOperation::Create | DiskOperation::Preallocate,
            .times = testing::kForever,
            .code = ErrorCode::ResourceExhausted});
  int stored = 1;
  for (; log.append(kAcme, stored, 10, 1'000); stored += 10) ASSERT_LT(stored, 1'000);
  const Result<void> refused = log.append(kAcme, stored, 10, 1'000);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::ResourceExhausted);
  EXPECT_FALSE(log->health());
  disk.heal();
  EXPECT_TRUE(log.append(kAcme, stored, 10, 1'000));
  EXPECT_TRUE(log->health());
  EXPECT_EQ(read_all(*log, kAcme).records.size(), static_cast<std::size_t>(stored) + 10);
}

}  // namespace
}  // namespace sluice::recordlog
