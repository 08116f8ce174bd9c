#include "dispatch/attempt_of.h"

#include <iterator>
#include <variant>

namespace sluice::dispatch {
namespace {

AttemptOutcome outcome_of(const connectors::Decision& decision) {
  // In the order of the variant.
  constexpr AttemptOutcome kOutcomes[] = {AttemptOutcome::Delivered, AttemptOutcome::Retry,
                                          AttemptOutcome::Rejected,  AttemptOutcome::Misconfigured,
                                          AttemptOutcome::Gone,      AttemptOutcome::Rejected};
  static_assert(std::size(kOutcomes) == std::variant_size_v<connectors::Decision>);
  return kOutcomes[decision.index()];
}

}  // namespace

Attempt attempt_of(const connectors::RecordBatch& batch, const connectors::SendOutcome& outcome,
                   WallTime time, std::chrono::microseconds latency) {
  Attempt attempt;
  attempt.time = time;
  attempt.webhook_id = batch.webhook_id;
  attempt.number = batch.attempt;
  attempt.first = batch.first;
  attempt.last = batch.last;
  attempt.records = batch.records;
  attempt.bytes = batch.bytes;
  attempt.broken_off = outcome.remote_status == 0;
  if (!attempt.broken_off) attempt.status = outcome.remote_status;
  attempt.latency = latency;
  attempt.outcome = outcome_of(outcome.decision);
  if (attempt.outcome != AttemptOutcome::Delivered) {
    attempt.error = reason_of(outcome.decision);
    attempt.fault = outcome.fault;
  }
  attempt.exchange = outcome.exchange;
  return attempt;
}

}  // namespace sluice::dispatch
