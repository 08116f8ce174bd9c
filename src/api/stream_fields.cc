#include "api/stream_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "api/json_text.h"
#include "api/schema.h"
#include "api/stream_auth.h"
#include "api/stream_signing.h"
#include "dispatch/delivery_settings.h"
#include "filters/filter.h"

namespace sluice::api {
namespace {

using nlohmann::json;
using namespace std::string_view_literals;

constexpr std::size_t kNameBytesMax = 500;
constexpr std::size_t kRelationResolutionBytesMax = 4 * 1024;
constexpr std::size_t kLabelsMax = 64;
constexpr std::size_t kLabelBytesMax = 256;

std::string joined(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

// What the records become: one that the connection type takes, its default where none is given.
std::string parse_format(const json& destination, const connectors::ConnectorDescriptor& connector,
                         Faults& faults) {
  constexpr std::array<std::string_view, 4> kLaterFormats = {"Json1nce", "DisruptiveTechnologies",
                                                             "AirVantage", "CloudEvents"};
  const json* format = find(destination, "format");
  if (format == nullptr) return std::string(connector.formats.front());
  const auto is_in = [format](const auto& list) {
    return std::ranges::find(list, *format) != list.end();
  };
  if (is_in(connector.formats)) return format->get<std::string>();
  faults.add("destination.format", is_in(kLaterFormats)
                                       ? std::string(kLater)
                                       : fmt::format("this connection type takes {}",
                                                     fmt::join(connector.formats, " or ")));
  return "";
}

const connectors::ConnectorDescriptor* parse_connection_type(const json& destination,
                                                             const ConnectorTable& table,
                                                             Faults& faults) {
  constexpr std::string_view kProperty = "destination.connection_type";
  const json* type = find(destination, "connection_type");
  if (type == nullptr) {
    faults.add(kProperty, "is required");
    return nullptr;
  }
  const connectors::ConnectorDescriptor* connector =
      type->is_string() ? find_connector(table, type->get_ref<const std::string&>()) : nullptr;
  if (connector == nullptr) {
    faults.add(kProperty, "no such type here; GET /api/v2/data_stream/connection_type lists them");
  }
  return connector;
}

std::optional<std::string> within(std::string text, std::string_view property,
                                  std::size_t bytes_max, Faults& faults) {
  if (text.size() <= bytes_max) return text;
  faults.add(property, fmt::format("must be at most {} bytes long", bytes_max));
  return std::nullopt;
}

}  // namespace

const json* find(const json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::optional<std::uint64_t> id_of(const json& value) {
  const json* id = value.is_object() ? find(value, "id") : &value;
  if (id == nullptr || !id->is_number_unsigned()) return std::nullopt;
  return id->get<std::uint64_t>();
}

void check_row(const json& value, std::string_view path, Faults& faults) {
  constexpr std::array<std::string_view, 2> kKnown = {"id", "description"};
  if (value.is_object()) refuse_unknown(value, path, kKnown, faults);
}

std::optional<bool> flag_of(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value == 1) return true;
  if (value == 0) return false;
  return std::nullopt;
}

void refuse_unknown(const json& object, std::string_view path,
                    std::span<const std::string_view> known, Faults& faults) {
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(known, key) == known.end()) {
      faults.add(joined(path, key), "unknown property");
    }
  }
}

std::optional<std::uint32_t> parse_type(const json& body, Faults& faults) {
  constexpr std::string_view kProperty = "data_stream_type";
  const json* value = find(body, kProperty);
  if (value == nullptr) {
    faults.add(kProperty, "is required");
    return std::nullopt;
  }
  check_row(*value, kProperty, faults);
  const std::optional<std::uint64_t> id = id_of(*value);
  if (id && is_stream_type(*id)) return static_cast<std::uint32_t>(*id);
  const bool later = id && (*id == 4 || *id == 5);
  faults.add(kProperty,
             later ? kLater : R"(must be {"id": 1} (usage data), 2 (events) or 3 (both))");
  return std::nullopt;
}

KindSet kinds_of(std::uint32_t type) {
  switch (type) {
    case 1: return {Kind::Usage};
    case 2: return {Kind::Event};
    default: return {Kind::Usage, Kind::Event};
  }
}

std::optional<std::string> parse_name(const json& value, Faults& faults) {
  if (value.is_string()) return within(value.get<std::string>(), "name", kNameBytesMax, faults);
  faults.add("name", "must be a string");
  return std::nullopt;
}

std::optional<std::string> parse_relation_resolution(const json& value, Faults& faults) {
  return within(to_text(value), "relation_resolution", kRelationResolutionBytesMax, faults);
}

std::optional<std::string> parse_labels(const json& value, Faults& faults) {
  const std::size_t faults_before = faults.size();
  if (!value.is_array() || value.size() > kLabelsMax) {
    faults.add("labels", fmt::format("must be a list of at most {} keys", kLabelsMax));
    return std::nullopt;
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    const bool fits = value[i].is_string() && !value[i].get_ref<const std::string&>().empty() &&
                      value[i].get_ref<const std::string&>().size() <= kLabelBytesMax;
    if (fits) continue;
    faults.add(fmt::format("labels[{}]", i),
               fmt::format("must be a string of 1 to {} bytes", kLabelBytesMax));
  }
  if (faults.size() != faults_before) return std::nullopt;
  return to_text(value);
}

std::optional<std::string> parse_filters(const json& value, std::uint32_t type, Faults& faults) {
  const auto compiled = filters::Filter::compile(value, kinds_of(type));
  const auto* found = std::get_if<std::vector<filters::Fault>>(&compiled);
  if (found == nullptr) return to_text(value);
  for (const filters::Fault& fault : *found) faults.add(fault.clause, fault.message);
  return std::nullopt;
}

std::optional<std::string> parse_delivery(const json& value, Faults& faults) {
  std::vector<dispatch::DeliveryFault> found;
  const auto settings = dispatch::parse_delivery(value, found);
  for (const dispatch::DeliveryFault& fault : found) faults.add(fault.property, fault.message);
  if (!settings) return std::nullopt;
  json delivery = value;
  delivery.emplace("preset", "emnify");
  return to_text(delivery);
}

void add_connector_fault(std::string_view message, std::string_view path, Faults& faults) {
  const std::size_t colon = message.find(": ");
  if (!message.starts_with(path) || colon == message.npos) return faults.add(path, message);
  faults.add(message.substr(0, colon), message.substr(colon + 2));
}

std::optional<ParsedDestination> parse_destination(
    const json& value, const std::optional<connectors::StreamFacts>& stream,
    const ConnectorTable& table, WallTime now, Faults& faults) {
  constexpr std::array<std::string_view, 6> kKnown = {"connection_type", "format", "credentials",
                                                      "signing",         "auth",   "ca"};
  constexpr std::string_view kPath = "destination.credentials";
  if (!value.is_object()) {
    faults.add("destination", "must be an object");
    return std::nullopt;
  }
  const std::size_t faults_before = faults.size();
  refuse_unknown(value, "destination", kKnown, faults);
  const connectors::ConnectorDescriptor* connector = parse_connection_type(value, table, faults);
  if (connector == nullptr) return std::nullopt;

  const std::string format = parse_format(value, *connector, faults);
  const json signing = parse_signing(value.value("signing", json()), now, faults);
  const json auth = parse_auth(value.value("auth", json()), faults);
  const json ca = parse_ca(value.value("ca", json()), faults);
  const json* given = find(value, "credentials");
  const json credentials = complete_settings(
      connector->schema_json, given == nullptr ? json::object() : *given, kPath, faults);
  if (faults.size() != faults_before) return std::nullopt;
  const Result<void> valid = connector->validate(credentials);
  if (!valid) {
    add_connector_fault(valid.error().message, kPath, faults);
    return std::nullopt;
  }
  json destination = {
      {"connection_type", connector->type}, {"format", format}, {"credentials", credentials}};
  if (stream && connector->fits != nullptr) {
    const Result<void> fits = connector->fits(destination, *stream);
    if (!fits) add_connector_fault(fits.error().message, "", faults);
  }
  const auto add = [&](const char* property, const json& part, bool fits) {
    if (part.is_null()) return;
    destination[property] = part;
    if (connector->sends_http || fits) return;
    faults.add(fmt::format("destination.{}", property), "this connection type takes none");
  };
  const bool mtls = auth.is_object() && auth.value("type", json()) == "mtls";
  add("signing", signing, false);
  add("auth", auth, connector->speaks_tls && mtls);
  add("ca", ca, connector->speaks_tls || connector->takes_ca);
  check_auth(destination, faults);
  if (faults.size() != faults_before) return std::nullopt;
  return ParsedDestination{to_text(destination), connector};
}

}  // namespace sluice::api
