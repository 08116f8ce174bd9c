#include "simulator/settings.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "egress/http_client.h"

namespace sluice::simulator {
namespace {

using nlohmann::json;

connectors::BatchLimits limits_of(const json& credentials) {
  connectors::BatchLimits limits{credentials.at("records"), credentials.at("bytes")};
  if (credentials.contains("held")) limits.held_bytes_max = credentials.at("held");
  return limits;
}

const connectors::ConnectorDescriptor kSimulated{.type = "Simulated",
                                                 .id = 1,
                                                 .schema_json = "{}",
                                                 .validate = nullptr,
                                                 .limits = &limits_of,
                                                 .create = nullptr};

}  // namespace

std::string Want::json() const {
  nlohmann::json clauses = nlohmann::json::array();
  if (endpoints.empty()) return clauses.dump();
  nlohmann::json value = nlohmann::json::array();
  for (const std::int64_t endpoint : endpoints) {
    by_name ? value.push_back(name_of(endpoint)) : value.push_back(endpoint);
  }
  clauses.push_back({{"field", by_name ? "endpoint_name" : "endpoint_id"}, {"value", value}});
  return clauses.dump();
}

Want Want::of(const std::string& json) {
  Want want;
  for (const nlohmann::json& clause : nlohmann::json::parse(json.empty() ? "[]" : json)) {
    want.by_name = clause.at("field") == "endpoint_name";
    for (const nlohmann::json& value : clause.at("value")) {
      if (!want.by_name) want.endpoints.push_back(value);
      for (std::int64_t i = 0; want.by_name && i < kEndpoints; ++i) {
        if (value == name_of(i)) want.endpoints.push_back(i);
      }
    }
  }
  return want;
}

bool Want::passes(const Record& record) const {
  return endpoints.empty() ||
         std::find(endpoints.begin(), endpoints.end(), record.endpoint_id) != endpoints.end();
}

std::string Settings::destination_json() const {
  json credentials = {{"records", limits.records_max},
                      {"bytes", limits.bytes_max},
                      {"target", target},
                      {"secret", secret}};
  if (limits.held_bytes_max) credentials["held"] = *limits.held_bytes_max;
  return json{{"connection_type", kSimulated.type}, {"credentials", credentials}}.dump();
}

std::string Settings::delivery_json() const {
  json shown = {{"retry", {{"initial_ms", delivery.initial.count()}}},
                {"error_after_s", delivery.error_after.count()},
                {"linger_ms", delivery.linger.count()},
                {"interval_ms", delivery.interval.count()},
                {"rejected_in_a_row", delivery.rejected_in_a_row},
                {"on_rejected", delivery.halt_on_rejected ? "halt" : "park"},
                {"parallel", delivery.parallel}};
  if (delivery.max_age) shown["max_age_s"] = delivery.max_age->count();
  return shown.dump();
}

// As the API decides it: what shapes the bytes or takes them elsewhere is a new rendering.
catalog::StreamChange Settings::change_from(const Settings& before) const {
  return {.filters = want.json(),
          .destination = destination_json(),
          .delivery = delivery_json(),
          .new_rendering = is_rendered_otherwise(before)};
}

bool Settings::is_rendered_otherwise(const Settings& before) const {
  return target != before.target || limits.records_max != before.limits.records_max ||
         limits.bytes_max != before.limits.bytes_max ||
         limits.held_bytes_max != before.limits.held_bytes_max;
}

void Settings::number_behind(const Settings& before) {
  revision = before.revision + 1;
  filter_revision = before.filter_revision + (want.json() != before.want.json() ? 1 : 0);
  render_revision = before.render_revision + (is_rendered_otherwise(before) ? 1 : 0);
  destination_revision =
      destination_json() == before.destination_json() ? before.destination_revision : revision;
}

void Settings::put(catalog::Stream& row) const {
  row.filters = want.json();
  row.destination = destination_json();
  row.delivery = delivery_json();
}

bool Settings::is_in(const catalog::Stream& row) const {
  return row.filters == want.json() && row.destination == destination_json() &&
         row.delivery == delivery_json() && row.settings_revision == revision &&
         row.filter_revision == filter_revision && row.render_revision == render_revision &&
         row.destination_revision == destination_revision;
}

const connectors::ConnectorDescriptor* find_simulated(std::string_view type) {
  return type == kSimulated.type ? &kSimulated : nullptr;
}

const connectors::ConnectorContext& no_context() {
  static const SystemClock clock;
  static boost::asio::io_context loop;
  static egress::HttpClient http(loop, clock, {});
  static const connectors::ConnectorContext context{http, clock, "simulator"};
  return context;
}

}  // namespace sluice::simulator
