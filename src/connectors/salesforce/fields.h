#pragma once
// What a record becomes as a platform event: its fields. Pure.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/kind.h"

namespace sluice::connectors::salesforce {

struct Field {
  enum class Is : std::uint8_t {
    Value,   // as it stands in the record; of objects and lists their JSON
    Text,    // the same as a text
    Flag,    // true, false, and the older 1 and 0
    Time,    // in the one form that Salesforce takes
    Record,  // all of the record, as a text
  };
  std::string name;
  Is is = Is::Value;
  std::string path;
  std::string otherwise = {};  // the path where there is nothing at the first
};

// The documented ones. Usage and events; others have none.
const std::vector<Field>& fields_of(Kind kind);

// Of the setting `fields`. InvalidArgument names the entry.
Result<std::vector<Field>> read_fields(const nlohmann::json& map);

// The event's body: the fields that the record has something for.
nlohmann::ordered_json event_of(const std::vector<Field>& fields, std::string_view record);

}  // namespace sluice::connectors::salesforce
