#include "recordlog/inspect.h"

#include <gtest/gtest.h>

#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

using testing::FaultyDisk;

constexpr OrganisationId kAcme{1};
constexpr OrganisationId kBolt{2};

TEST(Inspect, SummarizesSegmentsOfARunningLog) {
  FaultyDisk disk;
  TestLog log(disk);
  ASSERT_TRUE(log.open());
  const WallTime begin = log.clock.now();
  ASSERT_TRUE(log.append(kAcme, 0, 3));
  log.clock.advance_s(5);
  ASSERT_TRUE(log.append(kBolt, 0, 2));
  ASSERT_TRUE(log.open());
  RequestMaker marked;
  AppendRequest request = marked.group(kAcme, Kind::Event).record(record_text(kAcme, 3), 3).make();
  request.mark = RequestMark{.accepted = 1};
  ASSERT_TRUE(append_and_wait(*log, std::move(request)));
  const auto summaries = inspect_log(disk, TestLog::kDirectory);
  ASSERT_TRUE(summaries);
  ASSERT_EQ(summaries->size(), 2u);
  const SegmentSummary& sealed = (*summaries)[0];
  EXPECT_TRUE(sealed.sealed);
  EXPECT_EQ(sealed.sequence, 1u);
  EXPECT_EQ(sealed.path, "/log/p0/00000000000000000001.seg");
  EXPECT_EQ(sealed.organisations, 2u);
  EXPECT_EQ(sealed.chunks, 2u);
  EXPECT_EQ(sealed.records, 5u);
  EXPECT_EQ(sealed.first_stored, begin);
  EXPECT_EQ(sealed.last_stored.ms, begin.ms + 5'000);
  EXPECT_FALSE((*summaries)[1].sealed);
  EXPECT_EQ((*summaries)[1].records, 1u);
  EXPECT_EQ((*summaries)[0].marks, 0u);
  EXPECT_EQ((*summaries)[1].marks, 1u);
  const auto findings = verify_log(disk, TestLog::kDirectory);
  ASSERT_TRUE(findings);
  EXPECT_TRUE(findings->empty());
}

TEST(Inspect, YieldsEveryRecordInTheOrderOfStoring) {
  FaultyDisk disk;
  TestLog log(disk);
  ASSERT_TRUE(log.open());
  ASSERT_TRUE(log.append(kAcme, 0, 2));
  ASSERT_TRUE(log.append(kBolt, 0, 1, 60, Kind::Usage));
  ASSERT_TRUE(log.open());
  ASSERT_TRUE(log.append(kAcme, 2, 1));
  std::vector<std::string> found;
  const auto collect = [&](const FoundRecord& record) {
    found.push_back(fmt::format("{} {} {} {} {}", record.organisation.value(),
                                path_name(record.kind), record.offset.value(), record.columns.id,
                                record.bytes.size()));
  };
  ASSERT_TRUE(for_each_record(disk, TestLog::kDirectory, collect));
  EXPECT_EQ(found, (std::vector<std::string>{"1 events 0 0 60", "1 events 1 1 60", "2 usage 0 0 60",
                                             "1 events 2 2 60"}));
}

TEST(Inspect, OffsetsThatAFailedWriteUsedAreANote) {
  FaultyDisk disk;
  TestLog log(disk);
  ASSERT_TRUE(log.open());
  ASSERT_TRUE(log.append(kAcme, 0, 2));
  disk.arm({.number = 1, .operations = testing::mask(testing::DiskOperation::Write), .torn = true});
  ASSERT_FALSE(log.append(kAcme, 2, 3));
  ASSERT_TRUE(log.append(kAcme, 5, 1));
  const auto findings = verify_log(disk, TestLog::kDirectory);
  ASSERT_TRUE(findings);
  ASSERT_EQ(findings->size(), 1u);
  const Finding& finding = findings->front();
  EXPECT_EQ(finding.severity, Finding::Severity::Note);
  EXPECT_EQ(finding.organisation, kAcme);
  EXPECT_EQ(finding.first, Offset{2});
  EXPECT_EQ(finding.end, Offset{5});
}

TEST(Inspect, ADirectoryWithoutALogIsNotFound) {
  FaultyDisk disk;
  ASSERT_TRUE(disk.create_directories("/empty"));
  for (const char* directory : {"/empty", "/nowhere"}) {
    const auto summaries = inspect_log(disk, directory);
    ASSERT_FALSE(summaries);
    EXPECT_EQ(summaries.error().code, ErrorCode::NotFound);
    EXPECT_FALSE(verify_log(disk, directory));
  }
}

}  // namespace
}  // namespace sluice::recordlog
