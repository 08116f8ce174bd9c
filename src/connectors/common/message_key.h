#pragma once
#include <string>

#include "connectors/connector.h"

namespace sluice::connectors {

// What partitions, orders and groups a record at a destination that keeps order by key: its
// endpoint's id; without an endpoint its SIM's, else its organisation's.
std::string message_key(const recordlog::Chunk& chunk, std::uint32_t index);

}  // namespace sluice::connectors
