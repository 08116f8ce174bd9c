#include "recordlog/local/group_builder.h"

#include <gtest/gtest.h>

#include <cstring>

#include "recordlog/local/chunk_decode.h"
#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

constexpr OrganisationId kAcme{1};
constexpr OrganisationId kBolt{2};
constexpr std::uint32_t kFirst[] = {0};  // of a request's groups

// What a writer would put into the file, decoded as a reader would.
std::shared_ptr<const Chunk> decoded(const GroupBuilder& builder, const PreparedChunk& prepared) {
  set_checksum(*prepared.header);
  std::string bytes;
  for (const iovec& piece : builder.pieces(prepared)) {
    bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  EXPECT_EQ(bytes.size() % 8, 0u);
  auto frame = std::make_unique<std::byte[]>(bytes.size());
  std::memcpy(frame.get(), bytes.data(), bytes.size());
  auto chunk = decode_chunk(std::move(frame), bytes.size());
  EXPECT_TRUE(chunk) << chunk.error().message;
  return chunk ? *chunk : nullptr;
}

AppendRequest request_of(OrganisationId organisation, Kind kind, int count, std::size_t size,
                         std::int64_t first_id = 0) {
  RequestMaker maker;
  maker.group(organisation, kind);
  for (int i = 0; i < count; ++i) {
    maker.record(record_text(organisation, first_id + i, size), first_id + i);
  }
  return maker.make();
}

TEST(GroupBuilder, WritesNeighboursInThePayloadWithoutCopyingThem) {
  const AppendRequest request = request_of(kAcme, Kind::Event, 100, 700);
  GroupBuilder builder;
  builder.add(request, kFirst);
  const auto chunks = builder.prepare();
  ASSERT_EQ(chunks.size(), 1u);
  const auto pieces = builder.pieces(chunks[0]);
  ASSERT_EQ(pieces.size(), 3u) << "header and columns, the payload, the padding";
  EXPECT_EQ(pieces[1].iov_base, request.groups[0].records[0].bytes.data());
  EXPECT_EQ(pieces[1].iov_len, 100 * 701 - 1u);
  const auto chunk = decoded(builder, chunks[0]);
  ASSERT_TRUE(chunk);
  EXPECT_EQ(chunk->record(99), request.groups[0].records[99].bytes);
  EXPECT_EQ(chunk->columns[99].id, 99);
}

TEST(GroupBuilder, GathersRecordsThatLieApart) {
  const std::string payload = R"({"a":1}  {"b":2}\n{"c":3};{"d":4})";
  AppendRequest request;
  NewRecords& group = request.groups.emplace_back(NewRecords{kAcme, Kind::Usage, {}});
  for (std::size_t at = payload.find('{'); at != std::string::npos;
       at = payload.find('{', at + 1)) {
    group.records.push_back({std::string_view(payload).substr(at, 7), {}});
  }
  GroupBuilder builder;
  builder.add(request, kFirst);
  const auto chunks = builder.prepare();
  ASSERT_EQ(chunks.size(), 1u);
  const auto chunk = decoded(builder, chunks[0]);
  ASSERT_TRUE(chunk);
  EXPECT_EQ(chunk->joined, R"({"a":1},{"b":2},{"c":3},{"d":4})");
  EXPECT_EQ(chunk->records(1, 3), R"({"b":2},{"c":3})");
}

TEST(GroupBuilder, JoinsRequestsOfOneOrganisationAndKeepsOthersApart) {
  const AppendRequest first = request_of(kAcme, Kind::Event, 3, 60, 0);
  const AppendRequest other = request_of(kBolt, Kind::Event, 2, 60, 0);
  const AppendRequest second = request_of(kAcme, Kind::Event, 3, 60, 3);
  GroupBuilder builder;
  for (const AppendRequest* request : {&first, &other, &second}) builder.add(*request, kFirst);
  const auto chunks = builder.prepare();
  ASSERT_EQ(chunks.size(), 2u);
  const auto acme = decoded(builder, chunks[0]);
  ASSERT_TRUE(acme);
  EXPECT_EQ(acme->organisation, kAcme);
  ASSERT_EQ(acme->count(), 6u);
  for (std::uint32_t i = 0; i < 6; ++i) EXPECT_EQ(acme->columns[i].id, i);
  EXPECT_EQ(decoded(builder, chunks[1])->organisation, kBolt);
}

TEST(GroupBuilder, BeginsAChunkWhereTheKindChangesSoThatOrderIsKept) {
  const AppendRequest events = request_of(kAcme, Kind::Event, 1, 60, 0);
  const AppendRequest usage = request_of(kAcme, Kind::Usage, 1, 60, 1);
  GroupBuilder builder;
  builder.add(events, kFirst);
  builder.add(usage, kFirst);
  builder.add(events, kFirst);
  const auto chunks = builder.prepare();
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(decoded(builder, chunks[0])->kind, Kind::Event);
  EXPECT_EQ(decoded(builder, chunks[1])->kind, Kind::Usage);
  EXPECT_EQ(decoded(builder, chunks[2])->kind, Kind::Event);
}

TEST(GroupBuilder, CutsChunksAtTheirLimits) {
  const AppendRequest many = request_of(kAcme, Kind::Event, 10'000, 40);
  const AppendRequest big = request_of(kBolt, Kind::Event, 5, 400'000);
  GroupBuilder builder;
  builder.add(many, kFirst);
  builder.add(big, kFirst);
  std::vector<std::uint32_t> counts;
  for (const PreparedChunk& chunk : builder.prepare()) {
    counts.push_back(chunk.header->count);
    EXPECT_LE(chunk.header->joined_bytes, kChunkJoinedBytesMax);
    ASSERT_TRUE(decoded(builder, chunk));
  }
  EXPECT_EQ(counts, (std::vector<std::uint32_t>{4'096, 4'096, 1'808, 2, 2, 1}));
}

TEST(GroupBuilder, DoesNotSplitARequestBetweenTwoChunksThatAreFullEnough) {
  const AppendRequest request = request_of(kAcme, Kind::Event, 1000, 700);
  GroupBuilder builder;
  for (int i = 0; i < 3; ++i) builder.add(request, kFirst);
  const auto chunks = builder.prepare();
  ASSERT_EQ(chunks.size(), 3u);
  for (const PreparedChunk& chunk : chunks) {
    EXPECT_EQ(chunk.header->count, 1000u);
    EXPECT_EQ(chunk.request, &request);
    EXPECT_EQ(chunk.joined.data(), request.groups[0].records[0].bytes.data());
  }
}

TEST(GroupBuilder, ARecordBeyondTheLimitGoesAlone) {
  RequestMaker maker;
  maker.group(kAcme, Kind::Event).record(record_text(kAcme, 0), 0);
  maker.record(record_text(kAcme, 1, kChunkJoinedBytesMax + 10), 1);
  maker.record(record_text(kAcme, 2), 2);
  const AppendRequest request = maker.make();
  GroupBuilder builder;
  builder.add(request, kFirst);
  const auto chunks = builder.prepare();
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(decoded(builder, chunks[1])->record(0).size(), kChunkJoinedBytesMax + 10);
}

TEST(GroupBuilder, IsUsedAgainAndAgain) {
  GroupBuilder builder;
  for (int round = 0; round < 3; ++round) {
    builder.clear();
    const AppendRequest request = request_of(kAcme, Kind::Event, 10, 60, round);
    builder.add(request, kFirst);
    const auto chunks = builder.prepare();
    ASSERT_EQ(chunks.size(), 1u);
    EXPECT_EQ(decoded(builder, chunks[0])->columns[0].id, round);
  }
}

}  // namespace
}  // namespace sluice::recordlog
