#include "api/stream_body.h"

#include <array>
#include <nlohmann/json.hpp>

#include "base/timestamp.h"

namespace sluice::api {
namespace {

using nlohmann::json;

void parse_start(const json& body, WallTime now, NewStream& draft, Faults& faults) {
  if (const json* historic = find(body, "stream_historic_data"); historic != nullptr) {
    const std::optional<bool> flag = flag_of(*historic);
    if (!flag) faults.add("stream_historic_data", "must be true or false");
    draft.stream.historic = flag.value_or(false);
  }
  const json* from = find(body, "start_from");
  if (from == nullptr || from->is_null()) return;
  const std::optional<std::int64_t> time =
      from->is_string() ? parse_timestamp(from->get_ref<const std::string&>()) : std::nullopt;
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
  check_row(*value, "status", faults);
  const std::optional<std::uint64_t> id = id_of(*value);
  if (!id || (*id != 1 && *id != 2)) {
    return faults.add("status", R"(must be {"id": 1} (running) or {"id": 2} (paused))");
  }
  stream.status = id == 2 ? catalog::StreamStatus::Paused : catalog::StreamStatus::Running;
}

void parse_replaces(const json& body, NewStream& draft, Faults& faults) {
  const json* value = find(body, "replaces");
  if (value == nullptr || value->is_null()) return;
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() > catalog::kIdMax) {
    return faults.add("replaces", "must be the id of a stream");
  }
  if (draft.start_from || draft.stream.historic) {
    faults.add("replaces",
               "cannot be given together with start_from or stream_historic_data: the stream "
               "begins where the other one stands");
  }
  draft.replaces = StreamId{value->get<std::uint64_t>()};
}

void parse_settings(const json& body, std::optional<std::uint32_t> type,
                    const ConnectorTable& table, WallTime now, NewStream& draft, Faults& faults) {
  catalog::Stream& stream = draft.stream;
  std::optional<connectors::StreamFacts> facts;
  if (type) facts = {kinds_of(*type), draft.stream.historic};
  const json* destination = find(body, "destination");
  if (destination == nullptr) {
    faults.add("destination", "is required");
  } else if (auto parsed = parse_destination(*destination, facts, table, now, faults)) {
    stream.destination = std::move(parsed->text);
    draft.connector = parsed->connector;
  }
  const json* delivery = find(body, "delivery");
  if (auto parsed = parse_delivery(delivery ? *delivery : json::object(), faults)) {
    stream.delivery = *std::move(parsed);
  }
  if (const json* labels = find(body, "labels")) {
    stream.labels = parse_labels(*labels, faults).value_or("");
  }
}

}  // namespace

std::optional<NewStream> parse_new_stream(const json& body, const ConnectorTable& table,
                                          WallTime now, Faults& faults) {
  constexpr std::array<std::string_view, 11> kKnown = {"name",
                                                       "data_stream_type",
                                                       "destination",
                                                       "filters",
                                                       "labels",
                                                       "delivery",
                                                       "status",
                                                       "stream_historic_data",
                                                       "start_from",
                                                       "replaces",
                                                       "relation_resolution"};
  if (!body.is_object()) {
    faults.add("body", "must be a JSON object");
    return std::nullopt;
  }
  const std::size_t faults_before = faults.size();
  NewStream draft;
  refuse_unknown(body, "", kKnown, faults);
  if (const json* name = find(body, "name")) {
    draft.stream.name = parse_name(*name, faults).value_or("");
  }
  if (const json* relation = find(body, "relation_resolution")) {
    draft.stream.relation_resolution = parse_relation_resolution(*relation, faults).value_or("");
  }
  const std::optional<std::uint32_t> type = parse_type(body, faults);
  draft.stream.type = type.value_or(draft.stream.type);
  if (const json* filters = find(body, "filters"); filters != nullptr && type) {
    draft.stream.filters = parse_filters(*filters, *type, faults).value_or("");
  }
  parse_start(body, now, draft, faults);
  parse_settings(body, type, table, now, draft, faults);
  parse_replaces(body, draft, faults);
  parse_status(body, draft.stream, faults);
  if (faults.size() != faults_before) return std::nullopt;
  return draft;
}

}  // namespace sluice::api
