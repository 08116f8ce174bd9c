#pragma once
// A connection type's settings as its schema.json lists them: checked, completed, merged and masked
// from that one list (connectors/README.md has its vocabulary).

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "api/fault.h"

namespace sluice::api {

inline constexpr std::string_view kMask = "***";
inline constexpr std::size_t kHeadersMax = 64;
inline constexpr std::size_t kMapMax = 100;

// Checks `settings` and adds one fault for each property at fault, named `<path>.<key>`. Returns
// the settings with defaults filled in; only of use if no fault was added.
nlohmann::json complete_settings(std::string_view schema_json, const nlohmann::json& settings,
                                 std::string_view path, Faults& faults);

// `given` over `stored`, before complete_settings(): *** is replaced by what is stored where there
// is something, null takes a property away.
nlohmann::json merge_settings(std::string_view schema_json, const nlohmann::json& stored,
                              const nlohmann::json& given);

// The field whose change makes `complete` send secrets elsewhere than `stored` did; nullopt: none.
std::optional<std::string> moved_target(std::string_view schema_json, const nlohmann::json& stored,
                                        const nlohmann::json& complete);

// Adds a fault for each stored secret that `given` does not bring anew, as a change of `moved`
// sends it elsewhere.
void require_secrets_anew(std::string_view schema_json, const nlohmann::json& stored,
                          const nlohmann::json& given, std::string_view moved,
                          std::string_view path, Faults& faults);
// That fault's message.
std::string given_anew(std::string_view moved);

// A batch cut under the one does not fit the other: a field that shapes batches or names their
// target differs.
bool shapes_alike(std::string_view schema_json, const nlohmann::json& a, const nlohmann::json& b);

// Whether an entry of a field of the kind `headers` is for the header `name`.
bool names_header(const nlohmann::json& entry, std::string_view name);

// In the schema's order, with *** for secrets and for the values of headers. A property that the
// schema does not list is left out: nobody knows whether it is a secret.
nlohmann::ordered_json mask_settings(std::string_view schema_json, const nlohmann::json& settings);

}  // namespace sluice::api
