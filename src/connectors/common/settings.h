#pragma once
// What connection types have in common in reading a destination's credentials.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::connectors {

// InvalidArgument, "destination.credentials.<property>: <what>".
Error wrong_setting(std::string_view property, std::string_view what);

// A descriptor's `validate`: whether `read` makes a Result of its settings out of the credentials.
template <auto read>
Result<void> validate_by(const nlohmann::json& credentials) {
  const auto settings = read(credentials);
  if (!settings.has_value()) return settings.error();
  return {};
}

// What `endpoint_url` says, without final slashes; `usual` where it is not given.
Result<std::string> read_endpoint_url(const nlohmann::json& credentials, std::string_view usual);

// A required secret that goes into a header as it is.
Result<std::string> read_header_secret(const nlohmann::json& credentials, const char* property);

}  // namespace sluice::connectors
