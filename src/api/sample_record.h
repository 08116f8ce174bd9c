#pragma once
#include <string>

#include "base/clock.h"
#include "catalog/catalog.h"
#include "model/kind.h"

namespace sluice::api {

// A record of nobody's SIM as the platform sends them, for tests of a destination. Its id is 0,
// which none of the platform's has. Kind: Usage or Event.
std::string sample_record(Kind kind, const catalog::Organisation& organisation, WallTime now);

}  // namespace sluice::api
