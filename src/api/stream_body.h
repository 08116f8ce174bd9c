#pragma once
// The body of a create or a change of a stream: checked property by property, all faults at once.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "api/fault.h"
#include "api/stream_json.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "dispatch/dispatch.h"

namespace sluice::api {

struct NewStream {
  catalog::Stream stream;  // without organisation and start
  const connectors::ConnectorDescriptor* connector = nullptr;
  bool success_200_only = false;
  std::optional<WallTime> start_from;
};

// Nullopt: faults were added.
std::optional<NewStream> parse_new_stream(const nlohmann::json& body, const ConnectorTable& table,
                                          WallTime now, Faults& faults);

struct StreamPatch {
  catalog::StreamChange change;
  std::optional<dispatch::Command> command;  // Pause or Resume
};

// `present` is the stream as the API shows it: what cannot be changed may be sent as it is there.
// Nullopt: faults were added.
std::optional<StreamPatch> parse_stream_patch(const nlohmann::json& body,
                                              const nlohmann::ordered_json& present,
                                              Faults& faults);

}  // namespace sluice::api
