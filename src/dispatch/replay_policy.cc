#include "dispatch/replay_policy.h"

#include <chrono>
#include <string>
#include <variant>

namespace sluice::dispatch {
namespace {

constexpr std::chrono::hours kNever{24 * 365 * 50};

}  // namespace

void be_patient(DeliverySettings& delivery) {
  delivery.error_after = kNever;
  delivery.rejected_in_a_row = 0;
  delivery.halt_on_rejected = false;
  delivery.max_age.reset();
  delivery.parallel = 1;
}

connectors::SendOutcome patient(connectors::SendOutcome outcome) {
  if (std::holds_alternative<connectors::Misconfigured>(outcome.decision) ||
      std::holds_alternative<connectors::Gone>(outcome.decision)) {
    const std::string reason(connectors::reason_of(outcome.decision));
    outcome.decision = connectors::RetryLater{reason, {}, 0};
  }
  return outcome;
}

}  // namespace sluice::dispatch
