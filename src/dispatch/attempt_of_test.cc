#include "dispatch/attempt_of.h"

#include <gtest/gtest.h>

namespace sluice::dispatch {
namespace {

using namespace connectors;

RecordBatch a_batch() {
  RecordBatch batch;
  batch.webhook_id = "7-1-10-14";
  batch.first = Offset{10};
  batch.last = Offset{14};
  batch.attempt = 3;
  batch.records = 5;
  batch.bytes = 99;
  return batch;
}

Attempt attempt_with(SendOutcome outcome) {
  return attempt_of(a_batch(), outcome, WallTime{5}, std::chrono::microseconds(77));
}

TEST(AttemptOf, TellsWhatWasSentAndWhatCameOfIt) {
  SendOutcome outcome{RetryLater{"503 later", {}, 0}, 503, true, Fault::Network};
  outcome.exchange = std::make_shared<Exchange>();
  const Attempt attempt = attempt_with(outcome);
  EXPECT_EQ(attempt.time, WallTime{5});
  EXPECT_EQ(attempt.latency.count(), 77);
  EXPECT_EQ(attempt.webhook_id, "7-1-10-14");
  EXPECT_EQ(attempt.number, 3u);
  EXPECT_EQ(attempt.first, Offset{10});
  EXPECT_EQ(attempt.last, Offset{14});
  EXPECT_EQ(attempt.records, 5u);
  EXPECT_EQ(attempt.bytes, 99u);
  EXPECT_EQ(attempt.status, 503);
  EXPECT_EQ(attempt.error, "503 later");
  EXPECT_EQ(attempt.fault, Fault::Network);
  EXPECT_EQ(attempt.exchange, outcome.exchange);
  EXPECT_FALSE(attempt.broken_off);
}

TEST(AttemptOf, KnowsEachOutcome) {
  EXPECT_EQ(attempt_with({Delivered{}, 200, true}).outcome, AttemptOutcome::Delivered);
  EXPECT_EQ(attempt_with({RetryLater{}, 503, true}).outcome, AttemptOutcome::Retry);
  EXPECT_EQ(attempt_with({Rejected{"a"}, 400, true}).outcome, AttemptOutcome::Rejected);
  EXPECT_EQ(attempt_with({Misconfigured{"b"}, 403, true}).outcome, AttemptOutcome::Misconfigured);
  EXPECT_EQ(attempt_with({Gone{"c"}, 410, true}).outcome, AttemptOutcome::Gone);
  EXPECT_EQ(attempt_with({Gone{"c"}, 410, true}).error, "c");
}

TEST(AttemptOf, ADeliveredOneIsNobodysFault) {
  const Attempt attempt = attempt_with({Delivered{}, 200, true});
  EXPECT_FALSE(attempt.fault.has_value());
  EXPECT_EQ(attempt.error, "");
}

TEST(AttemptOf, ABrokenOneHasNoStatus) {
  const Attempt attempt = attempt_with({RetryLater{"cancelled", {}, 0}, 0, false, Fault::Us});
  EXPECT_TRUE(attempt.broken_off);
  EXPECT_FALSE(attempt.status.has_value());
}

}  // namespace
}  // namespace sluice::dispatch
