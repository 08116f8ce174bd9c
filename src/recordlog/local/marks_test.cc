// Requests with an Idempotency-Key: what the log remembers of them is what lies on the disk.

#include <gtest/gtest.h>
#include <sys/uio.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "recordlog/local/group_builder.h"
#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

using testing::DiskOperation;
using testing::FaultyDisk;

constexpr OrganisationId kAcme{1};
constexpr OrganisationId kBolt{2};

std::array<std::uint8_t, 16> key_of(std::uint8_t number) {
  std::array<std::uint8_t, 16> key{};
  key[0] = number;
  key[15] = 0xAB;
  return key;
}

// Request `number`: `count` records for each organisation; a record's id tells request, part and
// place in it.
AppendRequest marked(std::uint8_t number, std::vector<OrganisationId> organisations,
                     std::uint32_t count, std::size_t size = 60) {
  RequestMaker maker;
  std::int64_t part = 0;
  for (const OrganisationId organisation : organisations) {
    maker.group(organisation, Kind::Event);
    for (std::uint32_t i = 0; i < count; ++i) {
      maker.record(record_text(organisation, i, size), number * 1'000'000 + part * 10'000 + i);
    }
    ++part;
  }
  AppendRequest request = maker.make();
  for (std::uint32_t i = 0; i < request.groups.size(); ++i) request.groups[i].part = i;
  request.mark = RequestMark{key_of(number), key_of(200), 0, 3};
  request.mark->accepted = static_cast<std::uint32_t>(organisations.size()) * count;
  return request;
}

RequestMark mark_of(std::uint8_t number, std::uint32_t accepted) {
  return {key_of(number), key_of(200), accepted, 3};
}

class Marks : public ::testing::Test {
 protected:
  FaultyDisk disk_;
  TestLog log_{disk_};
};

TEST_F(Marks, OfARequestStoredWholeAreKeptThroughRestarts) {
  ASSERT_TRUE(log_.open());
  ASSERT_TRUE(append_and_wait(*log_, marked(1, {kAcme, kBolt}, 5)));
  const std::vector<StoredPiece> whole = {{mark_of(1, 10), 0, 0, 10}};
  EXPECT_EQ(log_->stored_pieces(key_of(1)), whole);
  EXPECT_TRUE(log_->stored_pieces(key_of(2)).empty());

  disk_.power_off();  // the segment is not sealed
  log_.close();
  disk_.power_on();
  ASSERT_TRUE(log_.open());
  EXPECT_EQ(log_->stored_pieces(key_of(1)), whole);

  ASSERT_TRUE(log_.open());  // it is sealed, by recovery
  EXPECT_EQ(log_->stored_pieces(key_of(1)), whole);
  ASSERT_TRUE(append_and_wait(*log_, marked(2, {kAcme}, 5)));
  ASSERT_TRUE(log_.open());  // sealed by the writer
  EXPECT_EQ(log_->stored_pieces(key_of(2)).size(), 1u);
  EXPECT_EQ(log_->statistics().request_marks, 2u);
}

// A source uses one key for all runs of a partition, of which the later ones have greater bodies.
TEST_F(Marks, OfASourceTellTheNewestRunThoughTheClockStandsStill) {
  log_.settings.partitions = 8;
  ASSERT_TRUE(log_.open());
  for (const std::uint8_t run : {1, 2, 3, 4, 5}) {
    const OrganisationId organisation = run % 2 == 0 ? kAcme : kBolt;  // of different partitions
    AppendRequest request = marked(1, {organisation}, 5);
    request.mark->body = key_of(run);
    ASSERT_TRUE(append_and_wait(*log_, std::move(request)));
    const std::vector<StoredPiece> newest = {{{key_of(1), key_of(run), 5, 3}, 0, 0, 5}};
    EXPECT_EQ(log_->stored_pieces(key_of(1)), newest);
    ASSERT_TRUE(log_.open());  // reads the marks by partition
    EXPECT_EQ(log_->stored_pieces(key_of(1)), newest);
  }
}

TEST_F(Marks, TellWhichRecordsAreStoredOfARequestThatFailedHalfway) {
  log_.settings.segment_bytes = 1 * kMiB;
  ASSERT_TRUE(log_.open());
  // Two chunks, the second of which needs a new segment: it cannot be made.
  AppendRequest request = marked(1, {kAcme}, 3'000, 500);
  request.groups[0].part = 7;
  request.groups[0].first = 100;
  request.mark->accepted = 3'100;
  disk_.arm({.number = 2, .operations = mask(DiskOperation::Create), .times = testing::kForever});
  ASSERT_FALSE(append_and_wait(*log_, std::move(request)));
  disk_.heal();
  const auto stored = static_cast<std::uint32_t>(read_all(*log_, kAcme).records.size());
  ASSERT_GT(stored, 0u);
  ASSERT_LT(stored, 3'000u);
  const std::vector<StoredPiece> pieces = {{mark_of(1, 3'100), 7, 100, stored}};
  EXPECT_EQ(log_->stored_pieces(key_of(1)), pieces);
  ASSERT_TRUE(log_.open());
  EXPECT_EQ(log_->stored_pieces(key_of(1)), pieces);

  // What is missing comes with the same mark, in parts that touch.
  AppendRequest rest = marked(1, {kAcme}, 3'000 - stored, 500);
  rest.groups[0].part = 7;
  rest.groups[0].first = 100 + stored;
  rest.mark->accepted = 3'100;
  ASSERT_TRUE(append_and_wait(*log_, std::move(rest)));
  const std::vector<StoredPiece> joined = {{mark_of(1, 3'100), 7, 100, 3'000}};
  EXPECT_EQ(log_->stored_pieces(key_of(1)), joined);
}

TEST_F(Marks, ShareAChunkWithRequestsThatHaveNone) {
  constexpr std::uint32_t kFirst[] = {0};  // of a request's groups
  GroupBuilder builder;
  const AppendRequest one = marked(1, {kAcme}, 3);
  AppendRequest bare = marked(2, {kAcme}, 4);
  bare.mark.reset();
  const AppendRequest three = marked(3, {kAcme}, 5);
  builder.add(one, kFirst);
  builder.add(bare, kFirst);
  builder.add(three, kFirst);
  const auto chunks = builder.prepare();
  ASSERT_EQ(chunks.size(), 1u);
  const auto marks = chunks[0].marks;
  ASSERT_EQ(marks.size(), 2u);
  EXPECT_EQ(marks[0].key, key_of(1));
  EXPECT_EQ(marks[0].index, 0);
  EXPECT_EQ(marks[0].count, 3);
  EXPECT_EQ(marks[1].key, key_of(3));
  EXPECT_EQ(marks[1].index, 7);
  EXPECT_EQ(marks[1].count, 5);
}

TEST_F(Marks, BeyondTheirNumberRefuseNewKeysOnly) {
  log_.settings.request_keys_max = 2;
  ASSERT_TRUE(log_.open());
  ASSERT_TRUE(append_and_wait(*log_, marked(1, {kAcme}, 1)));
  ASSERT_TRUE(append_and_wait(*log_, marked(2, {kAcme}, 1)));
  const Result<void> refused = append_and_wait(*log_, marked(3, {kAcme}, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::Unavailable);
  EXPECT_NE(refused.error().message.find("2 idempotency keys"), std::string::npos);
  EXPECT_TRUE(append_and_wait(*log_, marked(2, {kAcme}, 1)));
  EXPECT_TRUE(log_.append(kAcme, 1, 1)) << "without a key";

  log_.clock.advance_s(24 * 3600 + 1);
  EXPECT_TRUE(append_and_wait(*log_, marked(3, {kAcme}, 1)));
  EXPECT_EQ(log_->statistics().request_marks, 1u);
}

TEST_F(Marks, AreForgottenAfterADay) {
  ASSERT_TRUE(log_.open());
  ASSERT_TRUE(append_and_wait(*log_, marked(1, {kAcme}, 1)));
  log_.clock.advance_s(24 * 3600 - 1);
  EXPECT_EQ(log_->stored_pieces(key_of(1)).size(), 1u);
  ASSERT_TRUE(append_and_wait(*log_, marked(2, {kAcme}, 1)));
  log_.clock.advance_s(2);
  EXPECT_TRUE(log_->stored_pieces(key_of(1)).empty());
  ASSERT_TRUE(log_.open());
  EXPECT_TRUE(log_->stored_pieces(key_of(1)).empty());
  EXPECT_EQ(log_->stored_pieces(key_of(2)).size(), 1u);
}

TEST_F(Marks, OfPiecesThatComeInAnyOrderJoin) {
  ASSERT_TRUE(log_.open());
  for (const std::uint32_t first : {8u, 0u, 4u}) {
    AppendRequest request = marked(1, {kAcme}, 4);
    request.groups[0].part = 1;
    request.groups[0].first = first;
    request.mark->accepted = 20;
    ASSERT_TRUE(append_and_wait(*log_, std::move(request)));
  }
  const std::vector<StoredPiece> joined = {{mark_of(1, 20), 1, 0, 12}};
  EXPECT_EQ(log_->stored_pieces(key_of(1)), joined);
  for (const std::uint32_t part : {0u, 2u}) {
    AppendRequest request = marked(1, {kAcme}, 4);
    request.groups[0].part = part;
    request.mark->accepted = 20;
    EXPECT_EQ(log_->stored_pieces(key_of(1)).size(), part == 0 ? 1u : 2u);
    ASSERT_TRUE(append_and_wait(*log_, std::move(request)));
  }
  const std::vector<StoredPiece> whole = {{mark_of(1, 20), 0, 0, 20}};
  EXPECT_EQ(log_->stored_pieces(key_of(1)), whole);
}

// Goal: what is remembered is what is stored, no more and no less. Method: fail the n-th change of
// the disk, cut the power, compare the marks with the records that are found.
using Place = std::tuple<std::int64_t, std::int64_t, std::int64_t>;  // request, part, index

std::set<Place> places_found(RecordLog& log) {
  std::set<Place> found;
  for (const OrganisationId organisation : {kAcme, kBolt}) {
    for (const StoredRecord& record : read_all(log, organisation).records) {
      found.insert({record.id / 1'000'000, record.id / 10'000 % 100, record.id % 10'000});
    }
  }
  return found;
}

std::set<Place> places_remembered(RecordLog& log, const std::vector<AppendRequest>& requests) {
  std::set<Place> remembered;
  for (std::uint8_t number = 0; number < requests.size(); ++number) {
    const auto pieces = log.stored_pieces(key_of(number));
    const bool whole = pieces.size() == 1 && pieces[0].count == requests[number].mark->accepted;
    for (const NewRecords& group : requests[number].groups) {
      for (std::uint32_t i = 0; i < group.records.size(); ++i) {
        const bool stored = whole || std::any_of(pieces.begin(), pieces.end(), [&](const auto& p) {
                              return p.part == group.part && p.first <= i && i < p.first + p.count;
                            });
        if (stored) remembered.insert({number, group.part, i});
      }
    }
  }
  return remembered;
}

TEST(MarksCrash, AgreeWithTheRecordsAfterAFaultAtAnyChange) {
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(fmt::format("fault at change {}", n));
    FaultyDisk disk({.seed = n});
    TestLog log(disk);
    log.settings.partitions = 2;
    ASSERT_TRUE(log.open());
    disk.arm({.number = n, .times = 1 + n % 3, .torn = n % 2 == 0});
    std::vector<AppendRequest> requests;
    for (std::uint8_t number = 0; number < 12; ++number) {
      requests.push_back(marked(number, {kAcme, kBolt, kAcme}, 1 + number * 7, 300));
      (void)append_and_wait(*log, requests.back());
    }
    EXPECT_EQ(places_remembered(*log, requests), places_found(*log));
    const bool fired = disk.fault_fired();
    disk.power_off();
    log.close();
    disk.power_on();
    ASSERT_TRUE(log.open());
    EXPECT_EQ(places_remembered(*log, requests), places_found(*log));
    if (!fired) break;
  }
}

TEST_F(Marks, AreFoundInTheChunksWhereTheFooterIsDamaged) {
  ASSERT_TRUE(log_.open());
  ASSERT_TRUE(append_and_wait(*log_, marked(1, {kAcme}, 5)));
  log_.close();
  const auto file =
      std::move(disk_.open("/log/p0/00000000000000000001.seg", OpenMode::ReadWrite).value());
  char damage = 'X';
  const iovec piece{&damage, 1};
  // The last byte before the trailer is of the last mark.
  ASSERT_TRUE(file->write_at(file->size().value() - 32 - 1, {&piece, 1}));
  ASSERT_TRUE(log_.open());
  EXPECT_EQ(log_->stored_pieces(key_of(1)).size(), 1u);
  ASSERT_TRUE(log_.open()) << "repaired";
  EXPECT_EQ(log_->stored_pieces(key_of(1)).size(), 1u);
}

}  // namespace
}  // namespace sluice::recordlog
