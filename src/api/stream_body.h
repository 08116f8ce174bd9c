#pragma once
// The body that creates a stream: checked property by property, all faults at once.

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "api/fault.h"
#include "api/stream_fields.h"
#include "base/clock.h"
#include "catalog/catalog.h"

namespace sluice::api {

struct NewStream {
  catalog::Stream stream;  // without organisation and start
  const connectors::ConnectorDescriptor* connector = nullptr;
  std::optional<WallTime> start_from;
  std::optional<StreamId> replaces;
};

// Nullopt: faults were added.
std::optional<NewStream> parse_new_stream(const nlohmann::json& body, const ConnectorTable& table,
                                          WallTime now, Faults& faults);

}  // namespace sluice::api
