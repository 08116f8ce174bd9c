#pragma once
// What a cluster said, or did not say, of a batch -> what dispatch is to do. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/connector.h"
#include "kafka/producer.h"

namespace sluice::connectors::kafka {

// Brokers refuse messages that came together together: whose fault it is shows when the first of
// them is sent again by itself.
bool wants_another_try(const sluice::kafka::Sent& sent, std::uint32_t records);

// `alone`: what became of that try. `topic` names the destination for a person; `password` is never
// shown.
SendOutcome classify(const sluice::kafka::Sent& sent,
                     const std::optional<sluice::kafka::Sent>& alone, std::uint32_t records,
                     std::string_view topic, const std::string& password);

}  // namespace sluice::connectors::kafka
