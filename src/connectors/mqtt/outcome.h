#pragma once
// What the broker's reason codes mean. Pure.

#include <string>
#include <string_view>

#include "connectors/connector.h"
#include "connectors/mqtt/packets.h"

namespace sluice::connectors::mqtt {

bool is_failure(const Heard& heard, Version version);

// `heard` is a failure. `confirmed` messages of the batch need not go again; of a PubAck it is the
// next one that was refused. `broker` names it for a person, `password` is never shown.
SendOutcome classify(const Heard& heard, Version version, std::uint32_t confirmed,
                     std::string_view broker, const std::string& password);

}  // namespace sluice::connectors::mqtt
