#include "connectors/salesforce/fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/timestamp.h"
#include "connectors/common/look_up.h"
#include "connectors/common/settings.h"

namespace sluice::connectors::salesforce {
namespace {

using nlohmann::json;
using Is = Field::Is;

constexpr std::string_view kWholeRecord = "$record";
constexpr std::string_view kAsText = "text:";

json value_of(const Field& field, const json& value) {
  switch (field.is) {
    case Is::Flag: return value == true || value == 1;
    case Is::Time: {
      const auto ms =
          value.is_string() ? parse_timestamp(value.get_ref<const std::string&>()) : std::nullopt;
      return ms ? json(format_timestamp(*ms)) : json();
    }
    case Is::Text: return value.is_string() ? value : json(value.dump());
    default: return value.is_structured() ? json(value.dump()) : value;
  }
}

// Letters, digits and underscores, with the custom field's ending: what an API name is made of.
bool is_field_name(std::string_view name) {
  return name.ends_with("__c") && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_';
         });
}

}  // namespace

const std::vector<Field>& fields_of(Kind kind) {
  static const std::vector<Field> events = {
      {"EventId__c", Is::Text, "id"},
      {"Timestamp__c", Is::Time, "timestamp"},
      {"EventTypeId__c", Is::Value, "event_type.id"},
      {"EventType__c", Is::Text, "event_type.description", "event_type.name"},
      {"Severity__c", Is::Text, "event_severity.description", "event_severity.name"},
      {"Source__c", Is::Text, "event_source.description", "event_source.name"},
      {"Alert__c", Is::Flag, "alert"},
      {"OrganisationId__c", Is::Text, "organisation.id"},
      {"Organisation__c", Is::Text, "organisation.name"},
      {"EndpointId__c", Is::Text, "endpoint.id"},
      {"Endpoint__c", Is::Text, "endpoint.name"},
      {"ICCID__c", Is::Text, "sim.iccid"},
      {"IMSI__c", Is::Text, "imsi.imsi", "imsi"},
      {"Description__c", Is::Text, "description"},
      {"Payload__c", Is::Record, ""},
  };
  static const std::vector<Field> usage = {
      {"RecordId__c", Is::Text, "id"},
      {"Start__c", Is::Time, "start_timestamp"},
      {"End__c", Is::Time, "end_timestamp"},
      {"VolumeTotal__c", Is::Value, "volume.total"},
      {"VolumeTx__c", Is::Value, "volume.tx"},
      {"VolumeRx__c", Is::Value, "volume.rx"},
      {"Cost__c", Is::Value, "cost"},
      {"Currency__c", Is::Text, "currency.code"},
      {"EndpointId__c", Is::Text, "endpoint.id"},
      {"ICCID__c", Is::Text, "sim.iccid"},
      {"IMSI__c", Is::Text, "imsi", "imsi.imsi"},
      {"Payload__c", Is::Record, ""},
  };
  static const std::vector<Field> none;
  if (kind == Kind::Usage) return usage;
  return kind == Kind::Event ? events : none;
}

Result<std::vector<Field>> read_fields(const json& map) {
  std::vector<Field> fields;
  for (const auto& [name, value] : map.items()) {
    if (!is_field_name(name)) {
      return wrong_setting("fields." + name, "must be a field's API name, which ends with __c");
    }
    std::string_view path = value.get_ref<const std::string&>();
    Field field{name, Is::Value, ""};
    if (path == kWholeRecord) {
      field.is = Is::Record;
    } else {
      if (path.starts_with(kAsText)) {
        field.is = Is::Text;
        path.remove_prefix(kAsText.size());
      }
      if (path.empty()) return wrong_setting("fields." + name, "names no path");
      field.path = path;
    }
    fields.push_back(std::move(field));
  }
  return fields;
}

nlohmann::ordered_json event_of(const std::vector<Field>& fields, std::string_view record) {
  const json parsed = json::parse(record, nullptr, /*allow_exceptions=*/false);
  nlohmann::ordered_json event = nlohmann::ordered_json::object();
  for (const Field& field : fields) {
    if (field.is == Is::Record) {
      event[field.name] = std::string(record);
      continue;
    }
    const json* found = look_up(parsed, field.path);
    const bool nothing = found == nullptr || (found->is_object() && !field.otherwise.empty());
    if (nothing && !field.otherwise.empty()) found = look_up(parsed, field.otherwise);
    if (found == nullptr || (found->is_object() && !field.otherwise.empty())) continue;
    json value = value_of(field, *found);
    if (!value.is_null()) event[field.name] = std::move(value);
  }
  return event;
}

}  // namespace sluice::connectors::salesforce
