#pragma once
#include <nlohmann/json_fwd.hpp>

#include "model/attempt.h"

namespace sluice::api {

// As the attempts log and a test show it.
nlohmann::ordered_json attempt_json(const Attempt& attempt);

}  // namespace sluice::api
