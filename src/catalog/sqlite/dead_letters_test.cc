#include "catalog/dead_letters.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace sluice::catalog {
namespace {

constexpr StreamId kStream{5};
constexpr StreamId kOther{6};

class DeadLettersTest : public ::testing::Test {
 protected:
  DeadLettersTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "sluice-letters-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    open();
  }
  ~DeadLettersTest() override { std::filesystem::remove_all(directory_); }

  void open(DeadLetters::Limits limits = {}) {
    letters_.reset();
    metrics_ = std::make_unique<Metrics>();
    auto opened = open_dead_letters(directory_ + "/letters.db", limits, *metrics_);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    letters_ = std::move(*opened);
  }
  Result<void> park(StreamId stream, const std::vector<DeadLetter>& letters, std::string state) {
    return letters_->park(stream, letters, {stream, std::move(state)});
  }
  static DeadLetter letter(std::uint64_t offset, std::string record = "{}") {
    return {Offset{offset},
            {.id = 100 + static_cast<std::int64_t>(offset)},
            Kind::Usage,
            WallTime{7},
            "400",
            400,
            std::move(record)};
  }
  std::vector<std::uint64_t> offsets(StreamId stream = kStream) {
    std::vector<std::uint64_t> found;
    const auto page = letters_->list(stream, {}, 100);
    for (const DeadLetter& each : page->letters) {
      found.push_back(each.offset.value());
    }
    return found;
  }
  using Offsets = std::vector<std::uint64_t>;

  std::pair<double, double> shown() const {
    return {metrics_->gauge("sluice_dead_letters", "").value(),
            metrics_->gauge("sluice_dead_letters_bytes", "").value()};
  }

  std::string directory_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<DeadLetters> letters_;
};

TEST_F(DeadLettersTest, KeepsLettersAndTheStateBehindThem) {
  const std::string state("a\0b", 3);
  ASSERT_TRUE(park(kStream, std::vector{letter(9), letter(3, "{\"id\": 3}")}, state));
  ASSERT_TRUE(park(kOther, std::vector{letter(1)}, "x"));
  open();
  const auto page = letters_->list(kStream, {}, 10);
  ASSERT_TRUE(page.has_value());
  ASSERT_EQ(page->letters.size(), 2u);
  EXPECT_FALSE(page->more);
  const DeadLetter& first = page->letters[0];
  EXPECT_EQ(first.offset, Offset{3});
  EXPECT_EQ(first.columns.id, 103);
  EXPECT_EQ(first.kind, Kind::Usage);
  EXPECT_EQ(first.parked, WallTime{7});
  EXPECT_EQ(first.reason, "400");
  EXPECT_EQ(first.status, 400);
  EXPECT_EQ(first.record, "{\"id\": 3}");
  const auto states = letters_->states();
  ASSERT_EQ(states->size(), 2u);
  EXPECT_EQ((*states)[0].bytes, state);
  EXPECT_EQ(letters_->count(kStream), 2u);
  EXPECT_EQ(letters_->count(StreamId{77}), 0u);
  EXPECT_EQ(shown(), std::pair(3.0, 13.0));
}

TEST_F(DeadLettersTest, ParkedAgainIsOneLetterWithTheNewReason) {
  ASSERT_TRUE(park(kStream, std::vector{letter(9)}, "1"));
  DeadLetter again = letter(9);
  again.reason = "skipped";
  again.status.reset();
  ASSERT_TRUE(park(kStream, std::vector{again}, "2"));
  const auto page = letters_->list(kStream, {}, 10);
  ASSERT_EQ(page->letters.size(), 1u);
  EXPECT_EQ(page->letters[0].reason, "skipped");
  EXPECT_EQ(page->letters[0].status, std::nullopt);
  EXPECT_EQ(letters_->count(kStream), 1u);
  EXPECT_EQ((*letters_->states())[0].bytes, "2");
}

TEST_F(DeadLettersTest, BeyondALimitNothingIsTakenAndTheStateStays) {
  open({.count_max = 2, .bytes_max = 1000});
  ASSERT_TRUE(park(kStream, std::vector{letter(1), letter(2)}, "before"));
  const auto refused = park(kStream, std::vector{letter(3)}, "behind");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::Conflict);
  EXPECT_NE(refused.error().message.find("redrive or delete"), std::string::npos);
  EXPECT_EQ(offsets(), (Offsets{1, 2}));
  EXPECT_EQ((*letters_->states())[0].bytes, "before");
  EXPECT_TRUE(park(kOther, std::vector{letter(3)}, ""));

  open({.count_max = 100, .bytes_max = 50});
  EXPECT_FALSE(park(kStream, std::vector{letter(3, std::string(47, 'x'))}, ""));
  EXPECT_TRUE(park(kStream, std::vector{letter(3, std::string(46, 'x'))}, ""));
}

TEST_F(DeadLettersTest, PagesGoOnWhereTheOneBeforeEnded) {
  std::vector<DeadLetter> many;
  for (std::uint64_t i = 0; i < 5; ++i) many.push_back(letter(10 * i));
  ASSERT_TRUE(park(kStream, many, ""));
  auto page = letters_->list(kStream, Offset{1}, 2);
  ASSERT_EQ(page->letters.size(), 2u);
  EXPECT_TRUE(page->more);
  EXPECT_EQ(page->letters[1].offset, Offset{20});
  page = letters_->list(kStream, Offset{21}, 2);
  EXPECT_EQ(page->letters.size(), 2u);
  EXPECT_FALSE(page->more);
}

TEST_F(DeadLettersTest, RemovesSomeOrAllAndForgetsAStream) {
  ASSERT_TRUE(park(kStream, std::vector{letter(1), letter(2), letter(3)}, "s"));
  ASSERT_TRUE(park(kOther, std::vector{letter(1)}, "o"));
  EXPECT_EQ(*letters_->remove(kStream, std::vector{Offset{2}, Offset{77}}), 1u);
  EXPECT_EQ(offsets(), (Offsets{1, 3}));
  EXPECT_EQ(letters_->count(kStream), 2u);
  EXPECT_EQ(shown(), std::pair(3.0, 6.0));
  EXPECT_EQ(*letters_->remove(kStream, std::nullopt), 2u);
  EXPECT_EQ(letters_->count(kStream), 0u);
  EXPECT_EQ(letters_->states()->size(), 2u);
  ASSERT_TRUE(letters_->forget(kOther));
  ASSERT_EQ(letters_->states()->size(), 1u);
  EXPECT_EQ((*letters_->states())[0].key, kStream);
  EXPECT_EQ(offsets(kOther), Offsets{});
  EXPECT_EQ(shown(), std::pair(0.0, 0.0));
}

TEST_F(DeadLettersTest, WhatACrashLeftOfDeletedStreamsGoes) {
  ASSERT_TRUE(park(kStream, std::vector{letter(1)}, "s"));
  ASSERT_TRUE(park(kOther, std::vector{letter(1)}, "o"));
  open();
  ASSERT_TRUE(letters_->keep_only(std::vector{kOther}));
  EXPECT_EQ(letters_->count(kStream), 0u);
  EXPECT_EQ(offsets(), Offsets{});
  ASSERT_EQ(letters_->states()->size(), 1u);
  EXPECT_EQ((*letters_->states())[0].key, kOther);
  EXPECT_EQ(letters_->count(kOther), 1u);
}

TEST_F(DeadLettersTest, AnotherKindOfFileIsRefused) {
  letters_.reset();
  std::ofstream(directory_ + "/letters.db", std::ios::trunc) << std::string(5000, 'x');
  const auto opened = open_dead_letters(directory_ + "/letters.db", {}, *metrics_);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::Corruption);
  EXPECT_NE(opened.error().message.find("dead letters"), std::string::npos);
}

}  // namespace
}  // namespace sluice::catalog
