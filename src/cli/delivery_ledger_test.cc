#include "cli/delivery_ledger.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

// A batch of a stream as the server would send it; the body follows from the id unless told.
struct Batch {
  std::string stream = "7";
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::optional<std::uint64_t> previous = {};
  bool accepted = true;
  std::string body = {};
  std::uint64_t records = 1;
};

Verdict note(DeliveryLedger& ledger, const Batch& batch) {
  const std::string id = fmt::format("{}-1-{}-{}", batch.stream, batch.first, batch.last);
  const std::string body = batch.body.empty() ? "body of " + id : batch.body;
  Arrival arrival;
  arrival.stream = batch.stream;
  arrival.webhook_id = id;
  arrival.first = batch.first;
  arrival.last = batch.last;
  arrival.previous = batch.previous;
  arrival.records = batch.records;
  arrival.body = hash_body(body);
  arrival.accepted = batch.accepted;
  return ledger.note(arrival).verdict;
}

TEST(DeliveryLedger, BatchesThatFollowEachOtherAreInOrder) {
  DeliveryLedger ledger;
  EXPECT_EQ(note(ledger, {.first = 0, .last = 9, .records = 10}), Verdict::First);
  EXPECT_EQ(note(ledger, {.first = 10, .last = 19, .previous = 9, .records = 10}),
            Verdict::InOrder);
  // Behind a filter offsets jump; Previous proves that nothing of the stream is missing.
  EXPECT_EQ(note(ledger, {.first = 500, .last = 510, .previous = 19}), Verdict::InOrder);
  EXPECT_EQ(ledger.totals().deliveries, 3U);
  EXPECT_EQ(ledger.totals().records, 21U);
  EXPECT_EQ(ledger.totals().violations(), 0U);
}

TEST(DeliveryLedger, AReceiverMayJoinLate) {
  DeliveryLedger ledger;
  EXPECT_EQ(note(ledger, {.first = 100, .last = 199, .previous = 99}), Verdict::First);
  EXPECT_EQ(note(ledger, {.first = 200, .last = 299, .previous = 199}), Verdict::InOrder);
}

TEST(DeliveryLedger, AMissingBatchIsAGapOnce) {
  DeliveryLedger ledger;
  note(ledger, {.first = 0, .last = 9});
  EXPECT_EQ(note(ledger, {.first = 20, .last = 29, .previous = 19}), Verdict::Gap);
  EXPECT_EQ(note(ledger, {.first = 30, .last = 39, .previous = 29}), Verdict::InOrder);
  EXPECT_EQ(ledger.totals().gaps, 1U);
}

TEST(DeliveryLedger, TheMissingBatchComingLateIsOutOfOrder) {
  DeliveryLedger ledger;
  note(ledger, {.first = 0, .last = 9});
  note(ledger, {.first = 20, .last = 29, .previous = 19});
  EXPECT_EQ(note(ledger, {.first = 10, .last = 19, .previous = 9}), Verdict::OutOfOrder);
}

TEST(DeliveryLedger, TheSameRecordsUnderAnotherIdAreOutOfOrder) {
  DeliveryLedger ledger;
  note(ledger, {.first = 0, .last = 9});
  EXPECT_EQ(note(ledger, {.first = 0, .last = 4}), Verdict::OutOfOrder);
  EXPECT_EQ(note(ledger, {.first = 5, .last = 9, .previous = 4}), Verdict::InOrder);
}

TEST(DeliveryLedger, ARepeatIsNoViolationAndMovesNothing) {
  DeliveryLedger ledger;
  note(ledger, {.first = 0, .last = 9});
  note(ledger, {.first = 10, .last = 19, .previous = 9});
  EXPECT_EQ(note(ledger, {.first = 0, .last = 9}), Verdict::Repeat);
  EXPECT_EQ(note(ledger, {.first = 20, .last = 29, .previous = 19}), Verdict::InOrder);
  EXPECT_EQ(ledger.totals().repeats, 1U);
  EXPECT_EQ(ledger.totals().deliveries, 3U);
  EXPECT_EQ(ledger.totals().violations(), 0U);
}

TEST(DeliveryLedger, ARepeatWithOtherBytesIsAViolation) {
  DeliveryLedger ledger;
  note(ledger, {.first = 0, .last = 9});
  EXPECT_EQ(note(ledger, {.first = 0, .last = 9, .body = "other"}), Verdict::ChangedBody);
  EXPECT_EQ(ledger.totals().changed_bodies, 1U);
}

TEST(DeliveryLedger, ARefusedBatchMustComeAgainWithTheSameBytes) {
  DeliveryLedger ledger;
  EXPECT_EQ(note(ledger, {.first = 0, .last = 9, .accepted = false}), Verdict::Refused);
  EXPECT_EQ(note(ledger, {.first = 0, .last = 9, .body = "other"}), Verdict::ChangedBody);
  EXPECT_EQ(note(ledger, {.first = 0, .last = 9}), Verdict::First);
  EXPECT_EQ(note(ledger, {.first = 10, .last = 19, .previous = 9, .accepted = false}),
            Verdict::Refused);
  EXPECT_EQ(note(ledger, {.first = 20, .last = 29, .previous = 19}), Verdict::Gap);
}

TEST(DeliveryLedger, StreamsAreToldApart) {
  DeliveryLedger ledger;
  EXPECT_EQ(note(ledger, {.stream = "1", .first = 0, .last = 9}), Verdict::First);
  EXPECT_EQ(note(ledger, {.stream = "2", .first = 0, .last = 4}), Verdict::First);
  EXPECT_EQ(note(ledger, {.stream = "1", .first = 10, .last = 19, .previous = 9}),
            Verdict::InOrder);
  EXPECT_EQ(note(ledger, {.stream = "2", .first = 5, .last = 9, .previous = 4}), Verdict::InOrder);
  EXPECT_EQ(ledger.streams(), 2U);
}

TEST(DeliveryLedger, HeadersThatContradictThemselvesAreNamed) {
  DeliveryLedger ledger;
  EXPECT_EQ(note(ledger, {.first = 9, .last = 0}), Verdict::Inconsistent);
  EXPECT_EQ(note(ledger, {.first = 5, .last = 9, .previous = 5}), Verdict::Inconsistent);
  EXPECT_EQ(note(ledger, {.first = 5, .last = 9, .records = 6}), Verdict::Inconsistent);
  EXPECT_EQ(note(ledger, {.first = 5, .last = 9, .records = 0}), Verdict::Inconsistent);
  EXPECT_EQ(ledger.totals().inconsistent, 4U);
  EXPECT_EQ(note(ledger, {.first = 5, .last = 9, .records = 5}), Verdict::First);
}

TEST(DeliveryLedger, MemoryOfIdsIsBounded) {
  DeliveryLedger ledger;
  note(ledger, {.first = 0, .last = 0});
  for (std::uint64_t i = 1; i <= DeliveryLedger::kIdsRemembered; ++i) {
    ASSERT_EQ(note(ledger, {.first = i, .last = i, .previous = i - 1}), Verdict::InOrder);
  }
  const std::uint64_t newest = DeliveryLedger::kIdsRemembered;
  EXPECT_EQ(note(ledger, {.first = newest, .last = newest, .previous = newest - 1}),
            Verdict::Repeat);
  EXPECT_EQ(note(ledger, {.first = 0, .last = 0}), Verdict::OutOfOrder);  // forgotten
}

TEST(DeliveryLedger, MemoryOfStreamsIsBounded) {
  DeliveryLedger ledger;
  for (std::size_t i = 0; i < DeliveryLedger::kStreamsMax; ++i) {
    ASSERT_EQ(note(ledger, {.stream = std::to_string(i)}), Verdict::First);
  }
  EXPECT_EQ(note(ledger, {.stream = "one more"}), Verdict::Unverified);
  EXPECT_EQ(ledger.streams(), DeliveryLedger::kStreamsMax);
}

TEST(DeliveryLedger, ARestartedReceiverGoesOnFromItsFile) {
  Arrival arrival;
  arrival.stream = "7";
  arrival.webhook_id = "7-1-10-19";
  arrival.first = 10;
  arrival.last = 19;
  arrival.previous = 9;
  arrival.attempt = 3;
  arrival.records = 10;
  arrival.body = {0x0123456789abcdefULL, 1};
  const std::string line = DeliveryLedger::line(arrival);
  EXPECT_EQ(line, "7 10 19 10 0123456789abcdef0000000000000001 7-1-10-19 9 3");

  DeliveryLedger ledger;
  ASSERT_TRUE(ledger.restore(line).has_value());
  EXPECT_EQ(ledger.totals().deliveries, 0U);
  EXPECT_EQ(ledger.note(arrival).verdict, Verdict::Repeat);
  EXPECT_EQ(note(ledger, {.first = 30, .last = 39, .previous = 29}), Verdict::Gap);
}

TEST(DeliveryLedger, ADamagedFileIsRefused) {
  DeliveryLedger ledger;
  for (const std::string_view line :
       {"", "7", "7 10 19 10 xyz 7-1-10-19 9 3", "7 10 19 10  7-1-10-19 9 3",
        "7 10 -19 10 0123456789abcdef0000000000000001 7-1-10-19 9 3",
        "7 10 19 10 0123456789abcdef0000000000000001 7-1-10-19 9 3 more"}) {
    EXPECT_FALSE(ledger.restore(line).has_value()) << line;
  }
  EXPECT_EQ(ledger.streams(), 0U);
}

}  // namespace
}  // namespace sluice::cli
