#include "connectors/common/aws/settings.h"

#include <nlohmann/json.hpp>

#include "connectors/common/settings.h"

namespace sluice::connectors::aws {

Result<Settings> read_settings(const nlohmann::json& credentials) {
  Settings settings;
  settings.region = credentials.at("region").get<std::string>();
  if (credentials.contains("endpoint_url")) {
    Result<std::string> endpoint = read_endpoint_url(credentials, "");
    if (!endpoint.has_value()) return endpoint.error();
    settings.endpoint_url = *std::move(endpoint);
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
