#pragma once
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::connectors::aws {

// Where a service answers, without a final slash. `given` not empty: there instead. Else `region`
// has passed check_region().
std::string endpoint_url(std::string_view service, std::string_view region, std::string_view given);

// InvalidArgument, naming the property: no host name can be made of it. Which regions there are,
// AWS knows.
Result<void> check_region(std::string_view region);

}  // namespace sluice::connectors::aws
