#include "recordlog/local/group_pacer.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::recordlog {
namespace {

using namespace std::chrono_literals;

// When the next may begin after a group that began at `begun`.
SteadyTime after(std::size_t chunks, std::uint32_t records_a_chunk, SteadyTime begun) {
  ChunkHeader header;
  header.count = records_a_chunk;
  std::vector<PreparedChunk> group(chunks);
  for (PreparedChunk& chunk : group) chunk.header = &header;
  GroupPacer pacer;
  pacer.begins(begun);
  pacer.consists_of(group);
  return pacer.next();
}

TEST(GroupPacer, ManySmallChunksGather) {
  const SteadyTime now = SteadyTime() + 1h;
  EXPECT_EQ(after(GroupPacer::kChunksMin, 1, now), now + GroupPacer::kEvery);
  EXPECT_EQ(after(1000, GroupPacer::kRecordsAChunk - 1, now), now + GroupPacer::kEvery);
}

TEST(GroupPacer, OthersDoNotWait) {
  const SteadyTime now = SteadyTime() + 1h;
  EXPECT_LE(after(GroupPacer::kChunksMin - 1, 1, now), now) << "few";
  EXPECT_LE(after(1000, GroupPacer::kRecordsAChunk, now), now) << "large ones";
  EXPECT_LE(GroupPacer().next(), now) << "the first";
}

}  // namespace
}  // namespace sluice::recordlog
