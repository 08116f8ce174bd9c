#include "recordlog/local/recent_frames.h"

#include <gtest/gtest.h>

#include <array>

namespace sluice::recordlog {
namespace {

constexpr std::size_t kGroupBytes = 100;

class RecentFramesTest : public ::testing::Test {
 protected:
  std::shared_ptr<const std::byte[]> add(std::uint64_t sequence,
                                         std::vector<std::uint32_t> positions,
                                         std::uint64_t bytes = kGroupBytes) {
    const std::shared_ptr<const std::byte[]> memory = std::make_unique<std::byte[]>(kGroupBytes);
    std::vector<RecentFrames::Frame> frames;
    for (const std::uint32_t position : positions) {
      frames.push_back({position, memory.get() + frames.size()});
    }
    recent_.add(sequence, std::move(frames), memory, bytes);
    return memory;
  }

  std::shared_ptr<const std::byte> find(std::uint64_t sequence, std::uint32_t position) {
    IndexEntry entry;
    entry.position = position;
    return recent_.find(sequence, {&entry, 1})[0];
  }

  RecentFrames recent_{3 * kGroupBytes};
};

TEST_F(RecentFramesTest, FindsEachFrameOfEachGroup) {
  const auto first = add(1, {64, 200, 300});
  const auto second = add(1, {500, 700});
  const auto third = add(2, {64});
  EXPECT_EQ(find(1, 64).get(), first.get());
  EXPECT_EQ(find(1, 300).get(), first.get() + 2);
  EXPECT_EQ(find(1, 700).get(), second.get() + 1);
  EXPECT_EQ(find(2, 64).get(), third.get());
  std::array<IndexEntry, 3> entries{};
  entries[0].position = 200;
  entries[1].position = 201;
  entries[2].position = 700;
  const auto found = recent_.find(1, entries);
  EXPECT_EQ(found[0].get(), first.get() + 1);
  EXPECT_EQ(found[1], nullptr);
  EXPECT_EQ(found[2].get(), second.get() + 1);
  using Place = std::pair<std::uint64_t, std::uint32_t>;
  for (const auto& [sequence, position] :
       {Place{0, 64}, Place{1, 63}, Place{1, 100}, Place{1, 400}, Place{1, 800}, Place{2, 63},
        Place{2, 65}, Place{3, 64}}) {
    EXPECT_EQ(find(sequence, position), nullptr) << sequence << ' ' << position;
  }
}

TEST_F(RecentFramesTest, TheOldestGroupGoesAndWhatIsHeldOfItStays) {
  std::weak_ptr<const std::byte[]> oldest = add(1, {64});
  auto held = find(1, 64);
  for (std::uint32_t i = 1; i <= 3; ++i) add(1, {64 + i * 100});
  EXPECT_EQ(find(1, 64), nullptr);
  EXPECT_NE(find(1, 164), nullptr);
  EXPECT_FALSE(oldest.expired());
  held.reset();
  EXPECT_TRUE(oldest.expired());
}

TEST_F(RecentFramesTest, AGroupLargerThanAllOfItIsNotKept) {
  add(1, {64});
  add(1, {200}, 3 * kGroupBytes + 1);
  EXPECT_EQ(find(1, 200), nullptr);
  EXPECT_NE(find(1, 64), nullptr);
  add(1, {});
}

}  // namespace
}  // namespace sluice::recordlog
