#pragma once
// A replay's failures are nothing that puts its stream into Error, so that in the end it fails at
// nothing that may pass. Internal to dispatch.

#include "connectors/connector.h"
#include "dispatch/delivery_settings.h"

namespace sluice::dispatch {

// The stream's settings, as its replays take them.
void be_patient(DeliverySettings& delivery);

// What a replay makes of an attempt.
connectors::SendOutcome patient(connectors::SendOutcome outcome);

}  // namespace sluice::dispatch
