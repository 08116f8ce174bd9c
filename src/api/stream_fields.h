#pragma once
// The properties that a create and a change of a stream share. Each parser adds its faults and then
// gives nullopt. What it gives as text is JSON fit for the catalog.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "api/fault.h"
#include "api/stream_json.h"
#include "base/clock.h"
#include "model/kind.h"

namespace sluice::api {

inline constexpr std::string_view kLater = "not available yet in this version";

// Null: no such property.
const nlohmann::json* find(const nlohmann::json& object, std::string_view key);
// An `{"id": n}` object, with whatever stands beside the id, or the bare number.
std::optional<std::uint64_t> id_of(const nlohmann::json& value);
// A look-up row holds nothing but `id` and `description`.
void check_row(const nlohmann::json& value, std::string_view path, Faults& faults);
// true, false, 1 or 0.
std::optional<bool> flag_of(const nlohmann::json& value);
void refuse_unknown(const nlohmann::json& object, std::string_view path,
                    std::span<const std::string_view> known, Faults& faults);

// `data_stream_type` of a body; nullopt, and nothing can be checked that depends on the type.
std::optional<std::uint32_t> parse_type(const nlohmann::json& body, Faults& faults);
// `type` is a valid one.
KindSet kinds_of(std::uint32_t type);

std::optional<std::string> parse_name(const nlohmann::json& value, Faults& faults);
std::optional<std::string> parse_relation_resolution(const nlohmann::json& value, Faults& faults);
std::optional<std::string> parse_labels(const nlohmann::json& value, Faults& faults);
// `type`: the stream's, a valid one.
std::optional<std::string> parse_filters(const nlohmann::json& value, std::uint32_t type,
                                         Faults& faults);

std::optional<std::string> parse_delivery(const nlohmann::json& value, Faults& faults);

struct ParsedDestination {
  std::string text;  // secrets in clear
  const connectors::ConnectorDescriptor* connector = nullptr;
};
// `stream`: nullopt where its type is at fault itself.
std::optional<ParsedDestination> parse_destination(
    const nlohmann::json& value, const std::optional<connectors::StreamFacts>& stream,
    const ConnectorTable& table, WallTime now, Faults& faults);

// A message that begins with its property, as connectors and signing give it:
// "destination.credentials.url: ...". Without that it is about `path`.
void add_connector_fault(std::string_view message, std::string_view path, Faults& faults);

}  // namespace sluice::api
