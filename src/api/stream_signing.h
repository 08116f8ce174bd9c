#pragma once
// The `signing` of a destination. The catalog keeps it as it was given, but for
// previous_secret_until, which is in milliseconds there; null: nothing is signed.

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "api/fault.h"
#include "base/clock.h"

namespace sluice::api {

// As the catalog keeps it; with faults it is of no use.
nlohmann::json parse_signing(const nlohmann::json& given, WallTime now, Faults& faults);

// `given` over `stored`, to be parsed: *** stands for what is stored, null takes away.
nlohmann::json merge_signing(const nlohmann::json& stored, const nlohmann::json& given);

// Adds a fault for each stored secret that `given` does not bring anew, as `moved` sends it
// elsewhere.
void require_signing_anew(const nlohmann::json& stored, const nlohmann::json& given,
                          std::string_view moved, Faults& faults);

nlohmann::ordered_json mask_signing(const nlohmann::json& stored);

}  // namespace sluice::api
