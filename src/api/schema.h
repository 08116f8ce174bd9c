#pragma once
// A connection type's settings as its schema.json lists them: checked, completed and masked from
// that one list. `{"type", "label", "fields": [{"key", "kind", "label", "help", "required",
// "default", "min", "max", "values"}]}`; kinds: string url secret integer boolean enum headers.

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "api/fault.h"

namespace sluice::api {

inline constexpr std::string_view kMask = "***";

// Checks `settings` and adds one fault for each property at fault, named `<path>.<key>`. Returns
// the settings with defaults filled in; only of use if no fault was added.
nlohmann::json complete_settings(std::string_view schema_json, const nlohmann::json& settings,
                                 std::string_view path, Faults& faults);

// In the schema's order, with *** for secrets and for the values of headers. A property that the
// schema does not list is left out: nobody knows whether it is a secret.
nlohmann::ordered_json mask_settings(std::string_view schema_json, const nlohmann::json& settings);

}  // namespace sluice::api
