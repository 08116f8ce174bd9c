#pragma once
// The body that changes a stream, read against the stream as it is: all faults at once.

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "api/fault.h"
#include "api/stream_fields.h"
#include "catalog/catalog.h"
#include "dispatch/dispatch.h"

namespace sluice::api {

struct StreamPatch {
  // Holds what differs from the stream, and nothing else; tied to its settings_revision.
  catalog::StreamChange change;
  bool changes = false;  // `change` holds anything
  std::optional<dispatch::Command> command;
  std::optional<ParsedDestination> destination;  // if it differs: to be checked
};

// `shown` is `present` as the API shows it: what cannot be changed may be sent as it is there, what
// the server itself moves (progress, last_error, ...) as it ever was. Nullopt: faults were added.
std::optional<StreamPatch> parse_stream_patch(const nlohmann::json& body,
                                              const catalog::Stream& present,
                                              const nlohmann::ordered_json& shown,
                                              const ConnectorTable& table, WallTime now,
                                              Faults& faults);

}  // namespace sluice::api
