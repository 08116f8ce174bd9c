#include "ingest/idempotency.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <set>

namespace sluice::ingest {
namespace {

using recordlog::NewRecords;
using recordlog::StoredPiece;

Identity bound(std::uint64_t organisation, std::string subject = "a") {
  return {std::move(subject), OrganisationId{organisation}, Role::Ingest};
}
Identity unbound(std::string subject) { return {std::move(subject), std::nullopt, Role::Ingest}; }

Hash key_of(const Identity& identity, std::string_view path, std::string_view query,
            std::string_view key) {
  return hash_of_key({.identity = identity, .path = path, .query = query}, key);
}

TEST(IdempotencyKey, HoldsWithinItsScope) {
  const Hash base = key_of(bound(1), "/usage", "q", "k");
  EXPECT_EQ(base, key_of(bound(1, "b"), "/usage", "q", "k")) << "one organisation, two tokens";
  std::set<Hash> others = {
      key_of(bound(2), "/usage", "q", "k"),     key_of(bound(1), "/events", "q", "k"),
      key_of(bound(1), "/usage", "", "k"),      key_of(bound(1), "/usage", "q", "l"),
      key_of(bound(1), "/usageq", "", "k"),     key_of(bound(1), "/usage", "", "qk"),
      key_of(unbound("1"), "/usage", "q", "k"), key_of(unbound("a"), "/usage", "q", "k")};
  EXPECT_EQ(others.size(), 8u);
  EXPECT_FALSE(others.contains(base));
}

TEST(IdempotencyKey, AnOperatorsCountsForItsSubject) {
  Identity operator_of_1 = bound(1);
  operator_of_1.role = Role::Operator;
  EXPECT_EQ(key_of(operator_of_1, "/", "", "k"), key_of(unbound("a"), "/", "", "k"));
}

TEST(IdempotencyKey, ABodyIsItsBytesAndHowTheyAreRead) {
  const std::set<Hash> all = {
      hash_of_body("", {}), hash_of_body("a", {}), hash_of_body("a", {.framing = Framing::Lines}),
      hash_of_body("a", {.own = OrganisationId{0}}), hash_of_body("a", {.own = OrganisationId{1}})};
  EXPECT_EQ(all.size(), 5u);
  EXPECT_EQ(hash_of_body("a", {}), hash_of_body("a", {}));
}

// Groups whose records are named by their part and place.
std::vector<NewRecords> groups_of(const std::vector<std::uint32_t>& sizes,
                                  std::deque<std::string>& names) {
  std::vector<NewRecords> groups;
  for (std::uint32_t part = 0; part < sizes.size(); ++part) {
    NewRecords& group = groups.emplace_back();
    group.organisation = OrganisationId{part};
    for (std::uint32_t i = 0; i < sizes[part]; ++i) {
      group.records.push_back({names.emplace_back(fmt::format("{}/{}", part, i)), {}});
    }
  }
  return groups;
}

StoredPiece piece(std::uint32_t part, std::uint32_t first, std::uint32_t count) {
  return {.mark = {}, .part = part, .first = first, .count = count};
}

TEST(KeepMissing, NumbersTheGroupsOfANewRequest) {
  std::deque<std::string> names;
  std::vector<NewRecords> groups = groups_of({2, 1}, names);
  ASSERT_TRUE(keep_missing(groups, {}));
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[1].part, 1u);
  EXPECT_EQ(groups[1].first, 0u);
  EXPECT_EQ(groups[0].records.size(), 2u);
}

TEST(KeepMissing, RefusesPiecesThatDoNotFit) {
  const std::vector<std::vector<StoredPiece>> wrong = {
      {piece(2, 0, 1)}, {piece(0, 0, 3)}, {piece(1, 1, 1)}, {piece(0, 1, 1), piece(0, 0, 1)}};
  for (const auto& stored : wrong) {
    std::deque<std::string> names;
    std::vector<NewRecords> groups = groups_of({2, 1}, names);
    EXPECT_FALSE(keep_missing(groups, stored));
  }
}

TEST(KeepMissing, WhatIsStoredAndWhatIsLeftAreTheWholeWithoutOverlap) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::vector<std::uint32_t> sizes;
    for (std::uint32_t i = 0; i < 1 + random() % 4; ++i) sizes.push_back(1 + random() % 12);
    std::multiset<std::string> seen;
    std::vector<StoredPiece> stored;
    for (std::uint32_t part = 0; part < sizes.size(); ++part) {
      for (std::uint32_t at = random() % 3; at < sizes[part]; at += 1 + random() % 3) {
        const std::uint32_t count = std::min<std::uint32_t>(1 + random() % 4, sizes[part] - at);
        stored.push_back(piece(part, at, count));
        for (; at < stored.back().first + count; ++at) seen.insert(fmt::format("{}/{}", part, at));
      }
    }
    std::deque<std::string> names;
    std::vector<NewRecords> groups = groups_of(sizes, names);
    ASSERT_TRUE(keep_missing(groups, stored));
    for (const NewRecords& group : groups) {
      ASSERT_FALSE(group.records.empty());
      EXPECT_EQ(group.organisation.value(), group.part);
      for (std::uint32_t i = 0; i < group.records.size(); ++i) {
        ASSERT_EQ(group.records[i].bytes, fmt::format("{}/{}", group.part, group.first + i));
        seen.insert(std::string(group.records[i].bytes));
      }
    }
    ASSERT_EQ(seen, std::multiset<std::string>(names.begin(), names.end()));
  }
}

TEST(IsWhole, CountsTheRecordsOfAllPieces) {
  StoredPiece half = piece(0, 0, 3);
  half.mark.accepted = 5;
  EXPECT_FALSE(is_whole({}));
  EXPECT_FALSE(is_whole(std::array{half}));
  StoredPiece rest = piece(1, 0, 2);
  rest.mark = half.mark;
  EXPECT_TRUE(is_whole(std::array{half, rest}));
}

}  // namespace
}  // namespace sluice::ingest
