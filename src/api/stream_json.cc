#include "api/stream_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "api/schema.h"
#include "api/stream_auth.h"
#include "api/stream_signing.h"
#include "base/timestamp.h"
#include "filters/filter.h"

namespace sluice::api {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

struct Row {
  std::uint64_t id;
  std::string_view description;
};

constexpr std::array kStatuses = {Row{1, "Running"}, Row{2, "Paused"}, Row{3, "Error"},
                                  Row{4, "Pending"}, Row{5, "Disabled"}};
constexpr std::array kTypes = {Row{1, "Usage Data"}, Row{2, "Events"},
                               Row{3, "Usage Data & Events"}};

const std::string kDefaultLabels = R"(["name"])";

ordered_json row_json(const Row& row) { return {{"id", row.id}, {"description", row.description}}; }

template <std::size_t N>
ordered_json rows_json(const std::array<Row, N>& rows) {
  ordered_json list = ordered_json::array();
  for (const Row& row : rows) list.push_back(row_json(row));
  return list;
}

template <std::size_t N>
ordered_json find_row_json(const std::array<Row, N>& rows, std::uint64_t id) {
  const auto* const row = std::ranges::find(rows, id, &Row::id);
  SLUICE_ASSERT(row != rows.end());
  return row_json(*row);
}

ordered_json hand_over_json(const catalog::HandOver& hand_over) {
  ordered_json in_doubt;
  if (const auto& doubt = hand_over.in_doubt) {
    in_doubt = {doubt->first.value(), doubt->second.value()};
  }
  return {{"from", hand_over.from.value()},
          {"cursor", hand_over.cursor.value()},
          {"in_doubt", std::move(in_doubt)}};
}

template <class T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

ordered_json text_or_null(const std::string& text) {
  return text.empty() ? ordered_json() : ordered_json(text);
}

// What the catalog holds was written by us, after it had been checked.
json stored_json(const std::string& text) {
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_discarded() ? json() : value;
}

ordered_json destination_json(const catalog::Stream& stream, const ConnectorTable& table) {
  const json stored = stored_json(stream.destination);
  const std::string type = stored.value("connection_type", "");
  const connectors::ConnectorDescriptor* connector = find_connector(table, type);
  ordered_json shown = {
      {"connection_type", type},
      {"format", stored.value("format", "Json")},
      {"credentials",
       connector == nullptr
           ? ordered_json::object()
           : mask_settings(connector->schema_json, stored.value("credentials", json::object()))}};
  if (stored.contains("auth")) shown["auth"] = mask_auth(stored.at("auth"));
  if (stored.contains("ca")) shown["ca"] = stored.at("ca");
  if (stored.contains("signing")) shown["signing"] = mask_signing(stored.at("signing"));
  return shown;
}

ordered_json progress_json(const dispatch::StreamSnapshot& snapshot) {
  return {{"delivered", snapshot.delivered},
          {"lag_records", snapshot.lag_records},
          {"lag_s", snapshot.lag_s},
          {"next_offset", snapshot.next_offset.value()},
          {"next_attempt",
           snapshot.next_attempt ? ordered_json(rfc3339(*snapshot.next_attempt)) : ordered_json()},
          {"dead_letters", snapshot.dead_letters},
          {"dropped", snapshot.dropped},
          {"aged_out", snapshot.aged_out},
          {"damaged", snapshot.damaged},
          {"skipped", snapshot.skipped}};
}

dispatch::StreamSnapshot snapshot_of(const catalog::Stream& stream) {
  dispatch::StreamSnapshot snapshot;
  snapshot.status = stream.status;
  snapshot.last_error = stream.last_error;
  snapshot.remote_status = stream.remote_status;
  snapshot.next_offset = stream.start;
  return snapshot;
}

}  // namespace

const connectors::ConnectorDescriptor* find_connector(const ConnectorTable& table,
                                                      std::string_view type) {
  const auto found = std::ranges::find(table, type, &connectors::ConnectorDescriptor::type);
  return found == table.end() ? nullptr : *found;
}

std::string rfc3339(WallTime time) { return format_timestamp(time.ms); }

ordered_json stream_statuses() { return rows_json(kStatuses); }

ordered_json stream_types() { return rows_json(kTypes); }

ordered_json connection_types(const ConnectorTable& table) {
  ConnectorTable by_id = table;
  std::ranges::sort(by_id, {}, &connectors::ConnectorDescriptor::id);
  ordered_json list = ordered_json::array();
  for (const connectors::ConnectorDescriptor* connector : by_id) {
    list.push_back(row_json({connector->id, connector->type}));
  }
  return list;
}

ordered_json filter_fields() {
  ordered_json list = ordered_json::array();
  for (const filters::Field& field : filters::fields()) {
    list.push_back(row_json({field.id, field.name}));
  }
  return list;
}

bool is_stream_type(std::uint64_t id) {
  return std::ranges::find(kTypes, id, &Row::id) != kTypes.end();
}

ordered_json stream_json(const catalog::Stream& stream, const catalog::Organisation& organisation,
                         const std::optional<dispatch::StreamSnapshot>& snapshot,
                         const ConnectorTable& table) {
  const dispatch::StreamSnapshot now = snapshot.value_or(snapshot_of(stream));
  ordered_json shown = {
      {"id", stream.id.value()},
      {"name", stream.name},
      {"organisation", {{"id", organisation.id.value()}, {"name", organisation.name}}},
      {"data_stream_type", find_row_json(kTypes, stream.type)},
      {"destination", destination_json(stream, table)},
      {"filters", stored_json(stream.filters)},
      {"stream_historic_data", stream.historic},
      {"labels", stored_json(stream.labels.empty() ? kDefaultLabels : stream.labels)},
      {"delivery", stored_json(stream.delivery)},
      {"status", find_row_json(kStatuses, static_cast<std::uint64_t>(now.status))},
      {"remote_status", or_null(now.remote_status)},
      {"last_error", text_or_null(now.last_error)},
      {"progress", progress_json(now)},
      {"created", rfc3339(stream.created)},
      {"updated", rfc3339(stream.updated)}};
  if (now.status == catalog::StreamStatus::Disabled) shown["disabled_by"] = "user";
  if (stream.hand_over) shown["hand_over"] = hand_over_json(*stream.hand_over);
  if (stream.replaced_by) shown["replaced_by"] = stream.replaced_by->value();
  if (!stream.relation_resolution.empty()) {
    shown["relation_resolution"] = stored_json(stream.relation_resolution);
  }
  return shown;
}

}  // namespace sluice::api
