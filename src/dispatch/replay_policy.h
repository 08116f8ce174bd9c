#pragma once
// A replay's failures are nothing that puts its stream into Error, so that in the end it fails at
// nothing that may pass. Internal to dispatch.

#include <vector>

#include "catalog/replays.h"
#include "connectors/connector.h"
#include "dispatch/delivery_settings.h"
#include "dispatch/stream_machine.h"
#include "dispatch/stream_setup.h"

namespace sluice::dispatch {

// The stream's settings, as its replays take them.
void be_patient(DeliverySettings& delivery);

// As a redrive takes them: dead letters do not lie in the log, to be read while they are sent.
void hold_all(connectors::BatchLimits& limits);

// `replay` goes where `stream`, its stream, does; otherwise as set_up() of that.
StreamSetup set_up(const catalog::Replay& replay, const catalog::Stream& stream,
                   const FindConnector& find_connector,
                   const connectors::ConnectorContext& context);

// What the machine of a replay is told of an attempt. `settled` (of a redrive; else null) gains the
// records that are no dead letters any more.
Actions judge_replay(StreamMachine& machine, const connectors::RecordBatch& batch,
                     connectors::SendOutcome outcome, SteadyTime now, std::vector<Offset>* settled);

}  // namespace sluice::dispatch
