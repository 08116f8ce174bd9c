#pragma once
// The `auth` and `ca` of a destination; the catalog keeps them as they were given, null where
// nothing was.

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "api/fault.h"

namespace sluice::api {

// As the catalog keeps them; with faults they are of no use.
nlohmann::json parse_auth(const nlohmann::json& given, Faults& faults);
nlohmann::json parse_ca(const nlohmann::json& given, Faults& faults);

// What only a whole destination can tell, its parts being sound: whether keys, certificates and
// headers go together.
void check_auth(const nlohmann::json& destination, Faults& faults);

// `given` over `stored`, to be parsed: *** stands for what is stored, null takes away, another type
// begins anew.
nlohmann::json merge_auth(const nlohmann::json& stored, const nlohmann::json& given);

// Adds a fault for each stored secret that `given` does not bring anew, as `moved`, a property of
// the destination, sends it elsewhere. "": only if the token URL does.
void require_auth_anew(const nlohmann::json& stored, const nlohmann::json& given,
                       const nlohmann::json& changed, std::string_view moved, Faults& faults);

nlohmann::ordered_json mask_auth(const nlohmann::json& stored);

}  // namespace sluice::api
