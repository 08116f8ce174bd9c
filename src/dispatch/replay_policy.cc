#include "dispatch/replay_policy.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <variant>

namespace sluice::dispatch {
namespace {

constexpr std::chrono::hours kNever{24 * 365 * 50};

connectors::SendOutcome patient(connectors::SendOutcome outcome) {
  if (std::holds_alternative<connectors::Misconfigured>(outcome.decision) ||
      std::holds_alternative<connectors::Gone>(outcome.decision)) {
    const std::string reason(connectors::reason_of(outcome.decision));
    outcome.decision = connectors::RetryLater{reason, {}, 0};
  }
  return outcome;
}

}  // namespace

void be_patient(DeliverySettings& delivery) {
  delivery.error_after = kNever;
  delivery.rejected_in_a_row = 0;
  delivery.halt_on_rejected = false;
  delivery.max_age.reset();
  delivery.parallel = 1;
}

void hold_all(connectors::BatchLimits& limits) {
  limits.bytes_max = std::min(limits.bytes_max, limits.held_bytes_max.value_or(limits.bytes_max));
  limits.held_bytes_max.reset();
}

StreamSetup set_up(const catalog::Replay& replay, const catalog::Stream& stream,
                   const FindConnector& find_connector,
                   const connectors::ConnectorContext& context) {
  catalog::Stream as = stream;
  if (replay.of_dead_letters || !replay.filters.empty()) {
    as.filters = replay.of_dead_letters ? "[]" : replay.filters;
    as.filter_revision = 0;
  }
  StreamSetup setup = set_up(as, find_connector, context);
  be_patient(setup.settings.delivery);
  if (replay.of_dead_letters) hold_all(setup.settings.limits);
  return setup;
}

Actions judge_replay(StreamMachine& machine, const connectors::RecordBatch& batch,
                     connectors::SendOutcome outcome, SteadyTime now,
                     std::vector<Offset>* settled) {
  // The machine changes the batch.
  std::vector<Offset> offsets;
  for (std::uint32_t i = 0; settled != nullptr && i < batch.records; ++i) {
    offsets.push_back(offset_of(batch, i));
  }
  Actions actions = machine.sent(batch, patient(std::move(outcome)), now);
  for (const Offset offset : offsets) {
    if (offset < machine.cursor()) settled->push_back(offset);
  }
  return actions;
}

}  // namespace sluice::dispatch
