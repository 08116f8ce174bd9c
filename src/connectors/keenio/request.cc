#include "connectors/keenio/request.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "base/timestamp.h"
#include "connectors/common/failure.h"

namespace sluice::connectors::keenio {
namespace {

using nlohmann::json;

// The vendors' for usage and events, ours for the rest.
std::string_view collection_of(Kind kind) {
  switch (kind) {
    case Kind::Usage: return "EMnifyUsageData";
    case Kind::Event: return "EMnifyEventData";
    case Kind::SensorEvent: return "SluiceSensorEvents";
    case Kind::Message: return "SluiceMessages";
  }
  return "";
}

// Without the members `keen` that it came with: of that name the service takes but its own.
std::string without_keen(std::string_view record) {
  if (record.find("\"keen\"") == record.npos) return std::string(record);
  static thread_local simdjson::ondemand::parser parser;
  const simdjson::padded_string copy(record);
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  std::string kept = "{";
  if (parser.iterate(copy).get(document) != simdjson::SUCCESS ||
      document.get_object().get(object) != simdjson::SUCCESS) {
    return std::string(record);
  }
  for (auto field : object) {
    simdjson::ondemand::raw_json_string key;
    std::string_view value;
    simdjson::ondemand::value found;
    if (field.key().get(key) != simdjson::SUCCESS ||
        field.value().get(found) != simdjson::SUCCESS ||
        simdjson::to_json_string(found).get(value) != simdjson::SUCCESS) {
      return std::string(record);
    }
    if (key == "keen") continue;
    const char* const begin = key.raw() - 1;
    if (kept.size() > 1) kept += ',';
    kept.append(begin, static_cast<std::size_t>(value.data() + value.size() - begin));
  }
  return kept + "}";
}

void append_event(std::string& body, std::string_view record, std::int64_t time_ms) {
  const std::string plain = without_keen(record);
  const std::size_t open = plain.find('{');
  SLUICE_ASSERT(open != plain.npos);  // a record is an object
  const std::string_view members = std::string_view(plain).substr(open + 1);
  const bool empty = members[members.find_first_not_of(" \t\r\n")] == '}';
  body += fmt::format(R"({{"keen":{{"timestamp":"{}"}}{})", format_timestamp(time_ms),
                      empty ? "" : ",");
  body += members;
}

}  // namespace

std::vector<Part> parts_of(const RecordBatch& batch, std::string_view collection) {
  std::vector<Part> parts;
  std::uint32_t index = 0;
  for (const RecordRun& run : batch.runs) {
    const std::string_view name = collection.empty() ? collection_of(run.chunk->kind) : collection;
    auto part = std::ranges::find(parts, name, &Part::collection);
    if (part == parts.end()) {
      parts.push_back({std::string(name), json(name).dump() + ":[", {}});
      part = std::prev(parts.end());
      part->body.insert(part->body.begin(), '{');
      part->body.reserve(batch.bytes + batch.records * kAddedBytesMax);
    }
    for (std::uint32_t i = run.begin; i < run.end; ++i, ++index) {
      if (!part->records.empty()) part->body += ',';
      append_event(part->body, run.chunk->record(i), run.chunk->columns[i].time_ms);
      part->records.push_back(index);
    }
  }
  for (Part& part : parts) part.body += "]}";
  return parts;
}

ServiceError read_error(const egress::HttpResponse& response) {
  const json said = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  return {text_of(said, "error_code"), text_of(said, "message")};
}

PartOutcome classify(ServiceAnswer answer, const Part& part) {
  SendOutcome& outcome = answer.outcome;
  const auto not_taken = [&](std::uint32_t record) {
    if (auto* later = std::get_if<RetryLater>(&outcome.decision)) later->first_failed = record;
    return PartOutcome{std::move(outcome), record};
  };
  if (!std::holds_alternative<Delivered>(outcome.decision)) return not_taken(part.records.front());
  const json said = json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  const auto flags = said.is_object() ? said.find(part.collection) : said.end();
  if (flags == said.end() || !flags->is_array() || flags->size() != part.records.size()) {
    outcome.decision = RetryLater{"keen.io's answer does not name each event", {}, 0};
    return not_taken(part.records.front());
  }
  for (std::size_t i = 0; i < flags->size(); ++i) {
    const json& flag = (*flags)[i];
    if (flag.is_object() && flag.value("success", json()) == true) continue;
    const json error = flag.is_object() ? flag.value("error", json()) : json();
    const std::string name = text_of(error, "name");
    std::string reason =
        fmt::format("keen.io refused event {} of {} for {}: {}: {}", i + 1, flags->size(),
                    part.collection, name, excerpt(text_of(error, "description"), {}));
    // The names that begin so are about the event itself; the rest is the service's own trouble.
    if (name.starts_with("Invalid")) {
      outcome.decision = Rejected{std::move(reason), part.records[i]};
    } else {
      outcome.decision = RetryLater{std::move(reason), {}, 0};
    }
    return not_taken(part.records[i]);
  }
  return {std::move(outcome), std::numeric_limits<std::uint32_t>::max()};
}

}  // namespace sluice::connectors::keenio
