#include "connectors/common/aws/settings.h"

#include <nlohmann/json.hpp>

namespace sluice::connectors::aws {

Result<Settings> read_settings(const nlohmann::json& credentials) {
  Settings settings;
  settings.region = credentials.at("region").get<std::string>();
  settings.endpoint_url = credentials.value("endpoint_url", "");
  if (!settings.endpoint_url.empty()) {
    const Result<void> valid = check_endpoint_url(settings.endpoint_url);
    if (!valid.has_value()) return valid.error();
  }
  Result<Access> access = read_access(credentials);
  if (!access.has_value()) return access.error();
  settings.access = *std::move(access);
  return settings;
}

Result<Settings> usable_settings(const nlohmann::json& credentials) {
  Result<Settings> settings = read_settings(credentials);
  if (!settings.has_value()) return settings;
  const Result<void> valid = check_region(settings->region);
  if (!valid.has_value()) return valid.error();
  return settings;
}

Client::Options client_options(std::string_view service, Settings settings,
                               const Destination& destination) {
  return {.service = service,
          .credentials = {.access = std::move(settings.access),
                          .region = std::move(settings.region),
                          .organisation = destination.organisation,
                          .stream = destination.stream}};
}

}  // namespace sluice::connectors::aws
