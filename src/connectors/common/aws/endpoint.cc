#include "connectors/common/aws/endpoint.h"

#include <fmt/format.h>

#include <algorithm>

#include "connectors/common/settings.h"

namespace sluice::connectors::aws {
namespace {

bool names_a_region(std::string_view region) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !region.empty() && std::ranges::all_of(region, plain) && !region.starts_with('-') &&
         !region.ends_with('-');
}

}  // namespace

// AWS General Reference, "Service endpoints"; China has a domain of its own.
std::string endpoint_url(std::string_view service, std::string_view region,
                         std::string_view given) {
  if (!given.empty()) {
    while (given.ends_with('/')) given.remove_suffix(1);
    return std::string(given);
  }
  return fmt::format("https://{}.{}.amazonaws.com{}", service, region,
                     region.starts_with("cn-") ? ".cn" : "");
}

Result<void> check_region(std::string_view region) {
  if (names_a_region(region)) return {};
  return wrong_setting("region", "is no region's name, such as eu-west-1");
}

}  // namespace sluice::connectors::aws
