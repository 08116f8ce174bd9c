#include "api/stream_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "api/schema.h"
#include "api/stream_auth.h"
#include "api/stream_signing.h"

namespace sluice::api {
namespace {

using nlohmann::json;

// Written by us, after it had been checked.
json stored_json(const std::string& text) {
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
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

// Reads the body's properties one by one into the patch.
class PatchReader {
 public:
  PatchReader(const catalog::Stream& present, const json& shown, const ConnectorTable& table,
              WallTime now, StreamPatch& patch, Faults& faults)
      : present_(present),
        shown_(shown),
        table_(table),
        now_(now),
        patch_(patch),
        faults_(faults) {}

  void read(const std::string& key, const json& value);

 private:
  // Into the change if it differs from what the catalog has.
  void take(std::optional<std::string> parsed, const std::string& stored,
            std::optional<std::string>& into);
  void read_destination(const json& given);
  json merged_destination(const json& given, const json& stored, bool same_type) const;
  bool require_secrets(std::string_view schema, const json& given, const json& stored,
                       const json& changed);
  void read_delivery(const json& given);
  void read_status(const json& value);
  void check_unchanged(const std::string& key, const json& value);

  const catalog::Stream& present_;
  const json& shown_;
  const ConnectorTable& table_;
  const WallTime now_;
  StreamPatch& patch_;
  Faults& faults_;
};

void PatchReader::read(const std::string& key, const json& value) {
  catalog::StreamChange& change = patch_.change;
  if (key == "name") return take(parse_name(value, faults_), present_.name, change.name);
  if (key == "relation_resolution") {
    return take(parse_relation_resolution(value, faults_), present_.relation_resolution,
                change.relation_resolution);
  }
  if (key == "filters") {
    return take(parse_filters(value, present_.type, faults_), present_.filters, change.filters);
  }
  if (key == "labels") {
    if (value == shown_.at("labels")) return;  // never given is shown as the default
    return take(parse_labels(value, faults_), present_.labels, change.labels);
  }
  if (key == "destination") return read_destination(value);
  if (key == "delivery") return read_delivery(value);
  if (key == "status") return read_status(value);
  check_unchanged(key, value);
}

void PatchReader::take(std::optional<std::string> parsed, const std::string& stored,
                       std::optional<std::string>& into) {
  if (!parsed || *parsed == stored) return;
  into = std::move(parsed);
  patch_.changes = true;
}

// What `given` leaves out stays; another type begins without the old one's credentials.
json PatchReader::merged_destination(const json& given, const json& stored, bool same_type) const {
  json merged = given;
  if (stored.empty()) return merged;  // it could not be read
  merged.emplace("connection_type", stored.at("connection_type"));
  const auto* connector =
      find_connector(table_, stored.at("connection_type").get_ref<const std::string&>());
  if (same_type && connector != nullptr) {
    merged.emplace("format", stored.at("format"));
    const json* credentials = find(given, "credentials");
    merged["credentials"] = merge_settings(connector->schema_json, stored.at("credentials"),
                                           credentials == nullptr ? json::object() : *credentials);
    merged["signing"] =
        merge_signing(stored.value("signing", json()), given.value("signing", json::object()));
    const json auth = stored.value("auth", json());
    merged["auth"] = given.contains("auth") ? merge_auth(auth, given.at("auth")) : auth;
    merged.emplace("ca", stored.value("ca", json()));
  }
  return merged;
}

// Whether all secrets are there that a change of where they go wants anew.
bool PatchReader::require_secrets(std::string_view schema, const json& given, const json& stored,
                                  const json& changed) {
  const std::size_t faults_before = faults_.size();
  const std::optional<std::string> moved =
      moved_target(schema, stored.at("credentials"), changed.at("credentials"));
  require_auth_anew(stored.value("auth", json()), given.value("auth", json()),
                    changed.value("auth", json()), moved.value_or(""), faults_);
  if (!moved) return faults_.size() == faults_before;
  require_secrets_anew(schema, stored.at("credentials"), given.value("credentials", json::object()),
                       *moved, "destination.credentials", faults_);
  if (changed.contains("signing")) {
    require_signing_anew(stored.value("signing", json()), given.value("signing", json()), *moved,
                         faults_);
  }
  return faults_.size() == faults_before;
}

void PatchReader::read_destination(const json& given) {
  if (!given.is_object()) return faults_.add("destination", "must be an object");
  const json stored = stored_json(present_.destination);
  const json* type = find(given, "connection_type");
  const bool same_type = type == nullptr || *type == stored.value("connection_type", "");
  std::optional<ParsedDestination> parsed =
      parse_destination(merged_destination(given, stored, same_type),
                        connectors::StreamFacts{kinds_of(present_.type)}, table_, now_, faults_);
  if (!parsed || parsed->text == present_.destination) return;
  const json changed = stored_json(parsed->text);
  if (same_type) {
    const std::string_view schema = parsed->connector->schema_json;
    const json& credentials = changed.at("credentials");
    if (!require_secrets(schema, given, stored, changed)) return;
    patch_.change.new_rendering = changed.at("format") != stored.at("format") ||
                                  !shapes_alike(schema, stored.at("credentials"), credentials);
  } else {
    patch_.change.new_rendering = true;
  }
  patch_.change.destination = parsed->text;
  patch_.changes = true;
  patch_.destination = std::move(parsed);
}

// Merges as credentials do: a setting that is left out stays.
void PatchReader::read_delivery(const json& given) {
  json merged = stored_json(present_.delivery);
  if (given.is_object()) {
    merged.update(given, /*merge_objects=*/true);
  } else {
    merged = given;
  }
  take(parse_delivery(merged, faults_), present_.delivery, patch_.change.delivery);
}

void PatchReader::read_status(const json& value) {
  check_row(value, "status", faults_);
  const std::optional<std::uint64_t> id = id_of(value);
  if (id && *id == shown_.at("status").at("id")) return;
  if (id == 1) {
    patch_.command = dispatch::Command::Resume;
  } else if (id == 2) {
    patch_.command = dispatch::Command::Pause;
  } else if (id == 5) {
    patch_.command = dispatch::Command::Disable;
  } else {
    faults_.add("status", R"(must be {"id": 1} (running), 2 (paused) or 5 (disabled))");
  }
}

void PatchReader::check_unchanged(const std::string& key, const json& value) {
  constexpr std::array<std::string_view, 5> kMovedByTheServer = {
      "remote_status", "last_error", "disabled_by", "progress", "updated"};
  constexpr std::array<std::string_view, 6> kFixed = {"id",      "organisation", "data_stream_type",
                                                      "created", "hand_over",    "replaced_by"};
  const auto is_in = [&key](const auto& list) {
    return std::ranges::find(list, key) != list.end();
  };
  if (is_in(kMovedByTheServer)) return;
  if (key == "stream_historic_data") {
    if (flag_of(value) == shown_.at(key).get<bool>()) return;
    faults_.add(key, "is only looked at when a stream is created");
  } else if (is_in(kFixed)) {
    const bool same = shown_.contains(key) && matches(value, shown_.at(key));
    if (!same) faults_.add(key, "cannot be changed");
  } else {
    faults_.add(key, "unknown property");
  }
}

}  // namespace

std::optional<StreamPatch> parse_stream_patch(const json& body, const catalog::Stream& present,
                                              const nlohmann::ordered_json& shown,
                                              const ConnectorTable& table, WallTime now,
                                              Faults& faults) {
  if (!body.is_object()) {
    faults.add("body", "must be a JSON object");
    return std::nullopt;
  }
  const std::size_t faults_before = faults.size();
  StreamPatch patch;
  const json sorted = shown;  // so that == does not look at the order of keys
  PatchReader reader(present, sorted, table, now, patch, faults);
  for (const auto& [key, value] : body.items()) reader.read(key, value);
  if (faults.size() != faults_before) return std::nullopt;
  patch.change.expected_revision = present.settings_revision;
  return patch;
}

}  // namespace sluice::api
