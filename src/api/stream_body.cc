#include "api/stream_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "api/json_text.h"
#include "api/schema.h"
#include "dispatch/delivery_settings.h"
#include "ingest/timestamp.h"

namespace sluice::api {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kNameBytesMax = 500;
constexpr std::size_t kRelationResolutionBytesMax = 4 * 1024;
constexpr std::string_view kLater = "not available yet in this version";

const json* find(const json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

bool is_empty(const json& value) {
  return value.is_null() || ((value.is_array() || value.is_object()) && value.empty());
}

// An `{"id": n}` object, with whatever stands beside the id, or the bare number.
std::optional<std::uint64_t> id_of(const json& value) {
  const json* id = value.is_object() ? find(value, "id") : &value;
  if (id == nullptr || !id->is_number_unsigned()) return std::nullopt;
  return id->get<std::uint64_t>();
}

std::optional<bool> flag_of(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value == 0 || value == 1) return value == 1;
  return std::nullopt;
}

// What a look-up row, and so a type or a status, may consist of.
constexpr std::array<std::string_view, 2> kIdAndDescription = {"id", "description"};

void refuse_unknown(const json& object, std::string_view path,
                    std::span<const std::string_view> known, Faults& faults) {
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(known, key) != known.end()) continue;
    faults.add(path.empty() ? key : fmt::format("{}.{}", path, key), "unknown property");
  }
}

// Properties of later versions: absent or empty, else refused rather than passed over.
void refuse_later(const json& object, std::string_view path,
                  std::span<const std::string_view> later, Faults& faults) {
  for (const std::string_view key : later) {
    const json* value = find(object, key);
    if (value == nullptr || is_empty(*value)) continue;
    faults.add(path.empty() ? std::string(key) : fmt::format("{}.{}", path, key), kLater);
  }
}

std::optional<std::string> parse_name(const json& value, Faults& faults) {
  if (!value.is_string()) {
    faults.add("name", "must be a string");
    return std::nullopt;
  }
  if (value.get_ref<const std::string&>().size() > kNameBytesMax) {
    faults.add("name", fmt::format("must be at most {} bytes long", kNameBytesMax));
    return std::nullopt;
  }
  return value.get<std::string>();
}

std::optional<std::string> parse_relation_resolution(const json& value, Faults& faults) {
  std::string text = to_text(value);
  if (text.size() <= kRelationResolutionBytesMax) return text;
  faults.add("relation_resolution",
             fmt::format("must be at most {} bytes long", kRelationResolutionBytesMax));
  return std::nullopt;
}

void parse_type(const json& body, catalog::Stream& stream, Faults& faults) {
  const json* value = find(body, "data_stream_type");
  if (value == nullptr) return faults.add("data_stream_type", "is required");
  if (value->is_object()) refuse_unknown(*value, "data_stream_type", kIdAndDescription, faults);
  const std::optional<std::uint64_t> id = id_of(*value);
  if (id == 4 || id == 5) return faults.add("data_stream_type", kLater);
  if (!id || !is_stream_type(*id)) {
    return faults.add("data_stream_type",
                      R"(must be {"id": 1} (usage data), 2 (events) or 3 (both))");
  }
  stream.type = static_cast<std::uint32_t>(*id);
}

void parse_format(const json& destination, Faults& faults) {
  constexpr std::array<std::string_view, 6> kLaterFormats = {
      "JsonLines", "Csv", "Json1nce", "DisruptiveTechnologies", "AirVantage", "CloudEvents"};
  const json* format = find(destination, "format");
  if (format == nullptr || *format == "Json") return;
  const bool later = std::ranges::find(kLaterFormats, *format) != kLaterFormats.end();
  faults.add("destination.format", later ? kLater : R"(unknown; use "Json")");
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

// A connector names its property at the head of the message: "destination.credentials.url: ...".
void add_connector_fault(std::string_view message, std::string_view path, Faults& faults) {
  const std::size_t colon = message.find(": ");
  if (!message.starts_with(path) || colon == message.npos) return faults.add(path, message);
  faults.add(message.substr(0, colon), message.substr(colon + 2));
}

void parse_destination(const json& body, const ConnectorTable& table, NewStream& draft,
                       Faults& faults) {
  constexpr std::array<std::string_view, 6> kKnown = {"connection_type", "format", "credentials",
                                                      "signing",         "auth",   "ca"};
  const json* destination = find(body, "destination");
  if (destination == nullptr) return faults.add("destination", "is required");
  if (!destination->is_object()) return faults.add("destination", "must be an object");
  refuse_unknown(*destination, "destination", kKnown, faults);
  refuse_later(*destination, "destination", std::span(kKnown).last(3), faults);
  parse_format(*destination, faults);
  draft.connector = parse_connection_type(*destination, table, faults);
  if (draft.connector == nullptr) return;

  constexpr std::string_view kPath = "destination.credentials";
  const json* given = find(*destination, "credentials");
  const std::size_t faults_before = faults.size();
  const json credentials = complete_settings(
      draft.connector->schema_json, given == nullptr ? json::object() : *given, kPath, faults);
  if (faults.size() != faults_before) return;
  const Result<void> valid = draft.connector->validate(credentials);
  if (!valid) return add_connector_fault(valid.error().message, kPath, faults);
  draft.stream.destination = to_text(json{{"connection_type", draft.connector->type},
                                          {"format", "Json"},
                                          {"credentials", credentials}});
}

void parse_delivery(const json& body, NewStream& draft, Faults& faults) {
  const json* given = find(body, "delivery");
  json delivery = given == nullptr ? json::object() : *given;
  std::vector<dispatch::DeliveryFault> found;
  const auto settings = dispatch::parse_delivery(delivery, found);
  for (const dispatch::DeliveryFault& fault : found) faults.add(fault.property, fault.message);
  if (!settings) return;
  delivery.emplace("preset", "emnify");
  draft.success_200_only = settings->success_200_only;
  draft.stream.delivery = to_text(delivery);
}

void parse_start(const json& body, WallTime now, NewStream& draft, Faults& faults) {
  if (const json* historic = find(body, "stream_historic_data"); historic != nullptr) {
    const std::optional<bool> flag = flag_of(*historic);
    if (!flag) faults.add("stream_historic_data", "must be true or false");
    draft.stream.historic = flag.value_or(false);
  }
  const json* from = find(body, "start_from");
  if (from == nullptr || from->is_null()) return;
  const std::optional<std::int64_t> time =
      from->is_string() ? ingest::parse_timestamp(from->get_ref<const std::string&>())
                        : std::nullopt;
  if (!time) return faults.add("start_from", R"(must be a time such as "2026-11-21T20:00:00Z")");
  if (*time > now.ms) return faults.add("start_from", "lies in the future");
  if (draft.stream.historic) {
    return faults.add("start_from", "give either this or stream_historic_data");
  }
  draft.start_from = WallTime{*time};
}

void parse_status(const json& body, catalog::Stream& stream, Faults& faults) {
  const json* value = find(body, "status");
  if (value == nullptr) return;
  if (value->is_object()) refuse_unknown(*value, "status", kIdAndDescription, faults);
  const std::optional<std::uint64_t> id = id_of(*value);
  if (id == 5) return faults.add("status", kLater);
  if (id != 1 && id != 2) {
    return faults.add("status", R"(must be {"id": 1} (running) or {"id": 2} (paused))");
  }
  stream.status = id == 2 ? catalog::StreamStatus::Paused : catalog::StreamStatus::Running;
}

// Every property that `given` has is equal in `present`; a bare id stands for its row.
bool matches(const json& given, const json& present) {
  if (!present.is_object()) return given == present;
  if (!given.is_object()) return present.contains("id") && given == present["id"];
  return std::ranges::all_of(given.items(), [&present](const auto& item) {
    const json* value = find(present, item.key());
    return value != nullptr && matches(item.value(), *value);
  });
}

void parse_status_change(const json& value, const json& present, StreamPatch& patch,
                         Faults& faults) {
  const std::optional<std::uint64_t> id = id_of(value);
  if (id == 5) return faults.add("status", kLater);
  if (id && *id == present.at("id")) return;
  if (id == 1) {
    patch.command = dispatch::Command::Resume;
  } else if (id == 2) {
    patch.command = dispatch::Command::Pause;
  } else {
    faults.add("status", R"(must be {"id": 1} (running) or {"id": 2} (paused))");
  }
}

// What a PATCH may hold without effect, as long as it is what is there already.
void check_unchanged(const std::string& key, const json& value, const json& present,
                     Faults& faults) {
  constexpr std::array<std::string_view, 8> kReadOnly = {
      "id",         "organisation", "data_stream_type", "remote_status",
      "last_error", "progress",     "created",          "updated"};
  constexpr std::array<std::string_view, 2> kNotYet = {"destination", "filters"};
  const auto is_in = [&key](const auto& list) {
    return std::ranges::find(list, key) != list.end();
  };
  if (key == "stream_historic_data") {
    if (flag_of(value) != present.at(key).get<bool>()) {
      faults.add(key, "is only looked at when a stream is created");
    }
  } else if (key == "delivery" || key == "labels") {
    if (value != present.at(key)) faults.add(key, "cannot be changed yet: create a new stream");
  } else if (is_in(kNotYet)) {
    if (!matches(value, present.at(key))) {
      faults.add(key, "cannot be changed yet: create a new stream");
    }
  } else if (is_in(kReadOnly)) {
    if (!matches(value, present.at(key))) faults.add(key, "cannot be changed");
  } else {
    faults.add(key, "unknown property");
  }
}

}  // namespace

std::optional<NewStream> parse_new_stream(const json& body, const ConnectorTable& table,
                                          WallTime now, Faults& faults) {
  constexpr std::array<std::string_view, 11> kKnown = {"name",        "data_stream_type",
                                                       "destination", "delivery",
                                                       "status",      "stream_historic_data",
                                                       "start_from",  "relation_resolution",
                                                       "labels",      "filters",
                                                       "replaces"};
  if (!body.is_object()) {
    faults.add("body", "must be a JSON object");
    return std::nullopt;
  }
  const std::size_t faults_before = faults.size();
  NewStream draft;
  refuse_unknown(body, "", kKnown, faults);
  refuse_later(body, "", std::span(kKnown).last(3), faults);
  if (const json* filters = find(body, "filters");
      filters != nullptr && filters->is_object() && filters->empty()) {
    faults.add("filters", "must be a list");
  }
  if (const json* name = find(body, "name"); name != nullptr) {
    draft.stream.name = parse_name(*name, faults).value_or("");
  }
  if (const json* relation = find(body, "relation_resolution"); relation != nullptr) {
    draft.stream.relation_resolution = parse_relation_resolution(*relation, faults).value_or("");
  }
  parse_type(body, draft.stream, faults);
  parse_destination(body, table, draft, faults);
  parse_delivery(body, draft, faults);
  parse_start(body, now, draft, faults);
  parse_status(body, draft.stream, faults);
  if (faults.size() != faults_before) return std::nullopt;
  return draft;
}

std::optional<StreamPatch> parse_stream_patch(const json& body, const ordered_json& present_shown,
                                              Faults& faults) {
  if (!body.is_object()) {
    faults.add("body", "must be a JSON object");
    return std::nullopt;
  }
  const std::size_t faults_before = faults.size();
  const json present = present_shown;  // keys sorted, so that == does not look at their order
  StreamPatch patch;
  for (const auto& [key, value] : body.items()) {
    if (key == "name") {
      patch.change.name = parse_name(value, faults);
    } else if (key == "relation_resolution") {
      patch.change.relation_resolution = parse_relation_resolution(value, faults);
    } else if (key == "status") {
      parse_status_change(value, present.at(key), patch, faults);
    } else {
      check_unchanged(key, value, present, faults);
    }
  }
  if (faults.size() != faults_before) return std::nullopt;
  return patch;
}

}  // namespace sluice::api
