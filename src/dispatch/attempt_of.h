#pragma once
#include <chrono>

#include "base/clock.h"
#include "connectors/connector.h"
#include "model/attempt.h"

namespace sluice::dispatch {

// What the attempts log keeps of an attempt to send `batch` that began at `time`.
Attempt attempt_of(const connectors::RecordBatch& batch, const connectors::SendOutcome& outcome,
                   WallTime time, std::chrono::microseconds latency);

}  // namespace sluice::dispatch
