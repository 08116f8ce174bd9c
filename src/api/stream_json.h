#pragma once
// A stream as the API shows it.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "catalog/catalog.h"
#include "connectors/connector.h"
#include "dispatch/dispatch.h"

namespace sluice::api {

using ConnectorTable = std::vector<const connectors::ConnectorDescriptor*>;

// Null: no such type.
const connectors::ConnectorDescriptor* find_connector(const ConnectorTable& table,
                                                      std::string_view type);

// "2026-11-21T20:00:00.000Z"
std::string rfc3339(WallTime time);

// Look-up rows, `[{"id", "description"}]`: what is available in this version.
nlohmann::ordered_json stream_statuses();
nlohmann::ordered_json stream_types();
nlohmann::ordered_json connection_types(const ConnectorTable& table);
nlohmann::ordered_json filter_fields();

bool is_stream_type(std::uint64_t id);

// `snapshot`: as dispatch sees it; nullopt: dispatch does not have it (yet), shown as the catalog
// has it. Secrets are masked.
nlohmann::ordered_json stream_json(const catalog::Stream& stream,
                                   const catalog::Organisation& organisation,
                                   const std::optional<dispatch::StreamSnapshot>& snapshot,
                                   const ConnectorTable& table);

}  // namespace sluice::api
