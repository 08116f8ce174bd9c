#include "connectors/common/settings.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "connectors/common/text.h"
#include "egress/http_client.h"

namespace sluice::connectors {

Error wrong_setting(std::string_view property, std::string_view what) {
  return {ErrorCode::InvalidArgument,
          fmt::format("destination.credentials.{}: {}", property, what)};
}

Result<std::string> read_endpoint_url(const nlohmann::json& credentials, std::string_view usual) {
  std::string url = credentials.value("endpoint_url", std::string(usual));
  const Result<void> valid = egress::validate_url(url);
  if (!valid.has_value()) return wrong_setting("endpoint_url", valid.error().message);
  if (url.find_first_of("?#") != url.npos)
    return wrong_setting("endpoint_url", "must have no query");
  while (url.ends_with('/')) url.pop_back();
  return url;
}

Result<std::string> read_header_secret(const nlohmann::json& credentials, const char* property) {
  const auto& secret = credentials.at(property).get_ref<const std::string&>();
  if (is_visible_ascii(secret)) return secret;
  return wrong_setting(property, "must be visible ASCII characters without blanks");
}

}  // namespace sluice::connectors
