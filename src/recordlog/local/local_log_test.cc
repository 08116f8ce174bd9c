#include "recordlog/local/local_log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <random>
#include <thread>

#include "recordlog/local/log_test_support.h"
#include "recordlog/local/partition_files.h"

namespace sluice::recordlog {
namespace {

using testing::DiskOperation;
using testing::FaultyDisk;

constexpr OrganisationId kAcme{1};
constexpr OrganisationId kBolt{2};

class LocalLogTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(log_.open()); }
  void reopen() { ASSERT_TRUE(log_.open()); }
  void let_pass(std::int64_t seconds) { log_.clock.advance_s(seconds); }

  FaultyDisk disk_;
  TestLog log_{disk_};
};

TEST_F(LocalLogTest, GivesBackWhatWasAppendedWithOffsetsFromZero) {
  EXPECT_EQ(log_->end(kAcme), Offset{0});
  ASSERT_TRUE(log_.append(kAcme, 100, 3));
  ASSERT_TRUE(log_.append(kBolt, 200, 1));
  ASSERT_TRUE(log_.append(kAcme, 103, 1));
  EXPECT_EQ(log_->end(kAcme), Offset{4});
  const ReadAll all = read_all(*log_, kAcme);
  ASSERT_EQ(all.records.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto id = static_cast<std::int64_t>(100 + i);
    EXPECT_EQ(all.records[i], (StoredRecord{Offset{i}, Kind::Event, record_text(kAcme, id), id}));
  }
  EXPECT_EQ(read_all(*log_, kBolt).records.size(), 1u);
  EXPECT_TRUE(log_->health());
}

TEST_F(LocalLogTest, FindsEverythingAgainAfterACleanStop) {
  ASSERT_TRUE(log_.append(kAcme, 0, 5));
  log_.close();
  disk_.power_cut();
  reopen();
  EXPECT_EQ(log_->end(kAcme), Offset{5});
  ASSERT_TRUE(log_.append(kAcme, 5, 5));
  const ReadAll all = read_all(*log_, kAcme);
  ASSERT_EQ(all.records.size(), 10u);
  EXPECT_EQ(all.records[9].bytes, record_text(kAcme, 9));
  EXPECT_EQ(all.records[9].offset, Offset{9});
  EXPECT_EQ(all.damaged + all.aged_out, 0u);
}

TEST_F(LocalLogTest, OneRequestSpreadsOverOrganisationsAndPartitions) {
  log_.close();
  disk_.power_cut();
  TestLog log(disk_);
  log.settings.directory = "/other";
  log.settings.partitions = 8;
  ASSERT_TRUE(log.open());
  RequestMaker maker;
  for (std::uint64_t o = 1; o <= 1'000; ++o) {
    maker.group(OrganisationId{o}, Kind::Usage)
        .record(record_text(OrganisationId{o}, 7), 7)
        .record(record_text(OrganisationId{o}, 8), 8);
  }
  ASSERT_TRUE(append_and_wait(*log, maker.make()));
  ASSERT_TRUE(append_and_wait(*log, maker.make()));
  EXPECT_GE(log->statistics().segments, 8u);
  for (int round = 0; round < 2; ++round) {
    for (std::uint64_t o = 1; o <= 1'000; ++o) {
      const ReadAll all = read_all(*log, OrganisationId{o});
      ASSERT_EQ(all.records.size(), 4u) << o;
      ASSERT_EQ(all.records[3].bytes, record_text(OrganisationId{o}, 8));
      ASSERT_EQ(all.records[3].offset, Offset{3});
    }
    ASSERT_TRUE(log.open());
  }
}

TEST_F(LocalLogTest, AnEmptyRequestIsDoneAtOnce) {
  bool done = false;
  log_->append({}, [&](Result<void> result) { done = result.has_value(); });
  EXPECT_TRUE(done);
}

TEST_F(LocalLogTest, ReadsOnlyTheWantedKindsAndStepsOverTheOthers) {
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(log_.append(kAcme, i, 1, 60, i % 3 == 0 ? Kind::Usage : Kind::Event));
  }
  const ReadAll usage = read_all(*log_, kAcme, {Kind::Usage});
  ASSERT_EQ(usage.records.size(), 10u);
  EXPECT_EQ(usage.records[9].offset, Offset{27});
  const auto reader = log_->reader(kAcme, {Kind::Message});
  const Result<ReadResult> none = reader->read(Offset{0});
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->chunk);
  EXPECT_EQ(none->resume, Offset{30});
  EXPECT_EQ(none->damaged + none->aged_out, 0u);
}

TEST_F(LocalLogTest, AReaderWaitsAtTheEndAndGoesOnWhenMoreIsThere) {
  ASSERT_TRUE(log_.append(kAcme, 0, 2));
  const auto reader = log_->reader(kAcme, kAllKinds);
  EXPECT_EQ(reader->read(Offset{0})->resume, Offset{2});
  const Result<ReadResult> at_end = reader->read(Offset{2});
  EXPECT_FALSE(at_end->chunk);
  EXPECT_EQ(at_end->resume, Offset{2});
  ASSERT_TRUE(log_.append(kAcme, 2, 2));
  const Result<ReadResult> more = reader->read(Offset{2});
  ASSERT_TRUE(more->chunk);
  EXPECT_EQ(more->chunk->first, Offset{2});
}

TEST_F(LocalLogTest, ACursorBeyondTheEndIsLogTruncated) {
  ASSERT_TRUE(log_.append(kAcme, 0, 2));
  const Result<ReadResult> read = log_->reader(kAcme, kAllKinds)->read(Offset{3});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::NotFound);
  EXPECT_EQ(read.error().message.rfind("LogTruncated", 0), 0u);
}

TEST_F(LocalLogTest, ReadersGoFromSegmentToSegment) {
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(log_.append(i % 2 == 0 ? kAcme : kBolt, i, 4, 2'000));
  EXPECT_GT(log_->statistics().segments, 4u);
  for (int round = 0; round < 2; ++round) {
    const ReadAll all = read_all(*log_, kAcme);
    ASSERT_EQ(all.records.size(), 120u);
    for (std::size_t i = 0; i < all.records.size(); ++i) {
      ASSERT_EQ(all.records[i].offset, Offset{i});
      ASSERT_EQ(all.records[i].id, static_cast<std::int64_t>(i / 4 * 2 + i % 4));
    }
    reopen();
  }
}

TEST_F(LocalLogTest, ReadsFromAnyOffset) {
  for (int i = 0; i < 125; ++i) ASSERT_TRUE(log_.append(kAcme, i * 2, 2, 300));
  std::mt19937_64 random(11);
  const auto reader = log_->reader(kAcme, kAllKinds);
  for (int i = 0; i < 300; ++i) {
    const Offset from{random() % 250};
    const Result<ReadResult> read = reader->read(from);
    ASSERT_TRUE(read && read->chunk);
    const Chunk& chunk = *read->chunk;
    ASSERT_LE(chunk.first, from);
    ASSERT_GT(chunk.end(), from);
    const auto index = static_cast<std::uint32_t>(from.value() - chunk.first.value());
    ASSERT_EQ(chunk.columns[index].id, static_cast<std::int64_t>(from.value()));
  }
}

TEST_F(LocalLogTest, ARequestGreaterThanASegmentIsStored) {
  ASSERT_TRUE(log_.append(kAcme, 0, 1));
  ASSERT_TRUE(log_.append(kAcme, 1, 300, 1'000));
  ASSERT_TRUE(log_.append(kAcme, 301, 1, 200'000));
  ASSERT_TRUE(log_.append(kAcme, 302, 1));
  reopen();
  const ReadAll all = read_all(*log_, kAcme);
  ASSERT_EQ(all.records.size(), 303u);
  EXPECT_EQ(all.records[301].bytes.size(), 200'000u);
}

TEST_F(LocalLogTest, RetentionDropsOldSegmentsAndReadersCountWhatAgedOut) {
  ASSERT_TRUE(log_.append(kAcme, 0, 10));
  let_pass(2 * 24 * 3600);
  log_->run_retention();  // seals the segment, or the next records may still go into it
  ASSERT_TRUE(log_.append(kAcme, 10, 10));
  let_pass(19 * 24 * 3600);
  log_->run_retention();
  ASSERT_TRUE(log_.append(kAcme, 20, 10));
  log_->run_retention();
  EXPECT_EQ(log_->statistics().segments, 2u);
  const ReadAll all = read_all(*log_, kAcme, kAllKinds, Offset{4});
  ASSERT_EQ(all.records.size(), 20u);
  EXPECT_EQ(all.records[0].offset, Offset{10});
  EXPECT_EQ(all.aged_out, 6u);
  EXPECT_EQ(all.damaged, 0u);
}

TEST_F(LocalLogTest, OffsetsGoOnAfterRetentionHasTakenEverything) {
  ASSERT_TRUE(log_.append(kAcme, 0, 10));
  ASSERT_TRUE(log_.append(kBolt, 0, 3));
  let_pass(15 * 24 * 3600);
  ASSERT_TRUE(log_.append(kBolt, 3, 1));
  for (const int days : {6, 30}) {
    let_pass(days * 24 * 3600);
    log_->run_retention();
    log_->run_retention();
    log_.close();
    disk_.power_cut();
    reopen();
    EXPECT_EQ(log_->end(kAcme), Offset{10});
    EXPECT_EQ(log_->end(kBolt), Offset{4});
  }
  const ReadAll none = read_all(*log_, kAcme);
  EXPECT_TRUE(none.records.empty());
  EXPECT_EQ(none.aged_out, 10u);
  ASSERT_TRUE(log_.append(kAcme, 10, 1));
  EXPECT_EQ(read_all(*log_, kAcme).records.at(0).offset, Offset{10});
  EXPECT_TRUE(log_->health());
}

TEST_F(LocalLogTest, AReaderInTheMiddleOfWhatRetentionDeletesGoesOn) {
  for (int day = 0; day < 30; ++day) {
    ASSERT_TRUE(log_.append(kAcme, day * 10, 10));
    log_->run_retention();
    let_pass(24 * 3600);
  }
  const auto reader = log_->reader(kAcme, kAllKinds);
  Result<ReadResult> read = reader->read(Offset{95});
  ASSERT_TRUE(read && read->chunk);
  let_pass(5 * 24 * 3600);
  log_->run_retention();
  read = reader->read(read->resume);
  ASSERT_TRUE(read && read->chunk) << read.error().message;
  EXPECT_GT(read->aged_out, 0u);
  EXPECT_EQ(read->chunk->first.value(), 100 + read->aged_out);
}

TEST_F(LocalLogTest, AClockThatJumpsForwardDeletesNothingForADay) {
  ASSERT_TRUE(log_.append(kAcme, 0, 1));
  log_->run_retention();
  log_.clock.step_wall_s(40 * 24 * 3600);
  log_->run_retention();
  EXPECT_EQ(read_all(*log_, kAcme).records.size(), 1u);
  let_pass(25 * 3600);
  log_->run_retention();
  EXPECT_EQ(read_all(*log_, kAcme).records.size(), 0u);
}

TEST_F(LocalLogTest, StoredTimeNeverGoesBackAndFindsOffsets) {
  const WallTime begin = log_.clock.now();
  ASSERT_TRUE(log_.append(kAcme, 0, 5));
  log_.clock.step_wall_s(100);
  ASSERT_TRUE(log_.append(kAcme, 5, 5));
  log_.clock.step_wall_s(-90);
  ASSERT_TRUE(log_.append(kAcme, 10, 5));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(log_->reader(kAcme, kAllKinds)->read(Offset{10})->chunk->stored.ms,
              begin.ms + 100'000);
    EXPECT_EQ(log_->offset_at(kAcme, begin).value(), Offset{0});
    EXPECT_EQ(log_->offset_at(kAcme, {begin.ms + 1}).value(), Offset{5});
    EXPECT_EQ(log_->offset_at(kAcme, {begin.ms + 100'001}).value(), Offset{15});
    EXPECT_EQ(log_->offset_at(kBolt, begin).value(), Offset{0});
    reopen();
  }
}

TEST_F(LocalLogTest, TheObserverHearsOfWhatIsOnStableStorage) {
  class Observer final : public AppendObserver {
   public:
    explicit Observer(TestLog& log) : log_(log) {}
    void on_appended(std::span<const Appended> appended) override {
      for (const Appended& one : appended) {
        heard.push_back(one.end);
        readable &= log_->end(one.organisation) == one.end;
      }
    }
    std::vector<Offset> heard;
    bool readable = true;

   private:
    TestLog& log_;
  };
  Observer observer(log_);
  log_->set_observer(&observer);
  ASSERT_TRUE(log_.append(kAcme, 0, 2));
  ASSERT_TRUE(log_.append(kAcme, 2, 1));
  log_.close();
  EXPECT_EQ(observer.heard, (std::vector<Offset>{Offset{2}, Offset{3}}));
  EXPECT_TRUE(observer.readable);
}

TEST_F(LocalLogTest, AnObserverThatIsLetGoIsNoLongerWithin) {
  class Observer final : public AppendObserver {
   public:
    void on_appended(std::span<const Appended>) override {
      entered.set_value();
      leave.get_future().wait();
      left = true;
    }
    std::promise<void> entered;
    std::promise<void> leave;
    std::atomic<bool> left = false;
  };
  Observer observer;
  log_->set_observer(&observer);
  RequestMaker maker;
  maker.group(kAcme, Kind::Event).record(record_text(kAcme, 0), 0);
  log_->append(maker.make(), [](const Result<void>&) {});
  observer.entered.get_future().wait();
  std::thread leaving([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    observer.leave.set_value();
  });
  log_->set_observer(nullptr);
  EXPECT_TRUE(observer.left);
  leaving.join();
}

TEST_F(LocalLogTest, RefusesWhenTooMuchWaitsForTheDisk) {
  log_.settings.append_queue_bytes_max = 1'000;
  reopen();
  std::promise<void> release;
  std::promise<void> blocked;
  RequestMaker small;
  small.group(kAcme, Kind::Event).record(record_text(kAcme, 0), 0);
  log_->append(small.make(), [&](Result<void>) {
    blocked.set_value();
    release.get_future().wait();  // the commit thread stands still, as on a slow disk
  });
  blocked.get_future().wait();
  RequestMaker big;
  big.group(kAcme, Kind::Event).record(record_text(kAcme, 1, 2'000), 1);
  std::promise<Result<void>> waiting;
  log_->append(big.make(), [&](Result<void> result) { waiting.set_value(result); });
  std::optional<Result<void>> refused;
  log_->append(small.make(), [&](Result<void> result) { refused = result; });
  EXPECT_GT(log_->statistics().append_queue_bytes, 2'000u);
  release.set_value();
  ASSERT_TRUE(refused && !*refused) << "at once";
  EXPECT_EQ(refused->error().code, ErrorCode::ResourceExhausted);
  EXPECT_TRUE(waiting.get_future().get()) << "what is greater than the queue is taken alone";
  EXPECT_EQ(log_->statistics().append_queue_bytes, 0u);
}

TEST_F(LocalLogTest, StoppingFinishesWhatWaits) {
  std::atomic<int> done = 0;
  for (int i = 0; i < 50; ++i) {
    RequestMaker maker;
    maker.group(kAcme, Kind::Event).record(record_text(kAcme, i), i);
    log_->append(maker.make(), [&](Result<void> result) { done += result ? 1 : 0; });
  }
  log_.close();
  EXPECT_EQ(done, 50);
  reopen();
  EXPECT_EQ(read_all(*log_, kAcme).records.size(), 50u);
}

TEST_F(LocalLogTest, AFailedSyncIsToldAndPassesByItself) {
  ASSERT_TRUE(log_.append(kAcme, 0, 1));
  disk_.arm(
      {.number = 1, .operations = testing::mask(DiskOperation::Sync), .times = testing::kForever});
  const Result<void> failed = log_.append(kAcme, 1, 1);
  disk_.heal();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::Io);
  EXPECT_FALSE(log_->health());
  EXPECT_EQ(log_->end(kAcme), Offset{1});
  ASSERT_TRUE(log_.append(kAcme, 2, 1));
  EXPECT_TRUE(log_->health());
  const ReadAll all = read_all(*log_, kAcme);
  ASSERT_EQ(all.records.size(), 2u);
  EXPECT_EQ(all.records[1].offset, Offset{2}) << "offset 1 may have reached the disk";
  EXPECT_EQ(all.damaged + all.aged_out, 0u);
}

TEST_F(LocalLogTest, AFullDiskIsToldAndPassesByItself) {
  disk_.arm({.number = 1, .times = 12, .code = ErrorCode::ResourceExhausted});
  const Result<void> failed = log_.append(kAcme, 0, 1);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::ResourceExhausted);
  disk_.heal();
  ASSERT_TRUE(log_.append(kAcme, 1, 1));
  EXPECT_EQ(read_all(*log_, kAcme).records.at(0).offset, Offset{0}) << "nothing was written before";
}

TEST_F(LocalLogTest, AFileSystemThatCannotReserveSpaceWorksToo) {
  disk_.arm({.number = 1,
             .operations = testing::mask(DiskOperation::Preallocate),
             .times = testing::kForever});
  ASSERT_TRUE(log_.append(kAcme, 0, 100, 1'000));
  log_.close();
  ASSERT_TRUE(disk_.fault_fired());
  reopen();
  EXPECT_EQ(read_all(*log_, kAcme).records.size(), 100u);
}

TEST_F(LocalLogTest, ReadErrorsAreReportedAndReadingAgainWorks) {
  ASSERT_TRUE(log_.append(kAcme, 0, 1));
  disk_.arm({.number = 1, .operations = testing::mask(DiskOperation::Read)});
  const auto reader = log_->reader(kAcme, kAllKinds);
  const Result<ReadResult> failed = reader->read(Offset{0});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::Io);
  EXPECT_TRUE(reader->read(Offset{0})->chunk);
}

TEST_F(LocalLogTest, UnusableSettingsAreRefusedInOneSentence) {
  const auto refused = [&](auto change) {
    FaultyDisk disk;
    TestLog log(disk);
    change(log.settings);
    const Result<void> opened = log.open();
    return !opened && opened.error().code == ErrorCode::InvalidArgument;
  };
  EXPECT_TRUE(refused([](LocalSettings& s) { s.directory = ""; }));
  EXPECT_TRUE(refused([](LocalSettings& s) { s.partitions = 0; }));
  EXPECT_TRUE(refused([](LocalSettings& s) { s.partitions = 257; }));
  EXPECT_TRUE(refused([](LocalSettings& s) { s.segment_bytes = 1; }));
  EXPECT_TRUE(refused([](LocalSettings& s) { s.segment_bytes = 2 * kGiB; }));
  EXPECT_TRUE(refused([](LocalSettings& s) { s.retention_s = 0; }));
}

// As when a version of the program makes directories with another number.
TEST_F(LocalLogTest, ADirectoryKeepsItsNumberOfPartitions) {
  ASSERT_TRUE(log_.append(kAcme, 0, 1));
  log_.settings.partitions = 2;
  for (const bool format_is_lost : {false, true}) {
    if (format_is_lost) {
      log_.close();
      ASSERT_TRUE(disk_.remove("/log/format"));
    }
    ASSERT_TRUE(log_.open());
    EXPECT_EQ(read_all(*log_, kAcme).records.size(), 1u);
    EXPECT_EQ(*read_file(disk_, "/log/format"), "sluice record log 1\npartitions 1\n");
    EXPECT_FALSE(*disk_.exists("/log/p1"));
  }
}

TEST_F(LocalLogTest, ADirectoryOfAnotherVersionIsRefused) {
  for (const std::string text :
       {"sluice record log 2\npartitions 1\n", "sluice record log 1\npartitions 257\n",
        "sluice record log 1\npartitions 1 2\n"}) {
    log_.close();
    ASSERT_TRUE(replace_file(disk_, "/log", "format", text));
    const Result<void> opened = log_.open();
    ASSERT_FALSE(opened) << text;
    EXPECT_EQ(opened.error().code, ErrorCode::InvalidArgument);
  }
}

TEST_F(LocalLogTest, AnUnusableDirectoryStopsTheStart) {
  log_.close();
  disk_.arm({.number = 1, .times = testing::kForever});
  const Result<void> opened = log_.open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::Io);
}

}  // namespace
}  // namespace sluice::recordlog
