#include "connectors/webhook/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/text.h"
#include "connectors/common/settings.h"
#include "connectors/common/text.h"
#include "egress/http_client.h"

namespace sluice::connectors::webhook {
namespace {

constexpr std::size_t kHeaderBytesMax = 8 * 1024;  // what common servers take

// They frame the request, or are Sluice's own that receivers rely on.
constexpr std::string_view kReservedNames[] = {
    "Connection",
    "Content-Length",
    "Expect",
    "Host",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Upgrade",
    "Transfer-Encoding",
    "X-Dt-Signature",
    "DT-Asymmetric-Signature",
};
constexpr std::string_view kReservedPrefixes[] = {"webhook-", "X-Sluice-"};

bool is_token_char(char c) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";  // RFC 9110, 5.6.2
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kOthers.find(c) != kOthers.npos;
}

bool is_reserved(std::string_view name) {
  return std::any_of(std::begin(kReservedNames), std::end(kReservedNames),
                     [name](std::string_view reserved) { return same_name(name, reserved); }) ||
         std::any_of(std::begin(kReservedPrefixes), std::end(kReservedPrefixes),
                     [name](std::string_view prefix) {
                       return same_name(name.substr(0, prefix.size()), prefix);
                     });
}

Result<std::pair<std::string, std::string>> read_header(std::string_view line) {
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::InvalidArgument, std::move(message)};
  };
  if (line.size() > kHeaderBytesMax) {
    return invalid(fmt::format("is longer than {} bytes", kHeaderBytesMax));
  }
  const std::size_t colon = line.find(':');
  if (colon == line.npos) return invalid("has no colon: write name:value");
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (name.empty() || !std::all_of(name.begin(), name.end(), is_token_char)) {
    return invalid(
        "has a name that is not a token: letters, digits and !#$%&'*+-.^_`|~, no blanks");
  }
  if (has_control(value, "\t")) {
    return invalid(fmt::format("{} has a control character in its value", name));
  }
  if (is_reserved(name)) return invalid(fmt::format("{} is set by Sluice itself", name));
  return std::pair(std::string(name), std::string(value));
}

// Header values, of "Bearer abc" also the second word, and the query.
std::vector<std::string> secrets_of(const Config& config) {
  std::vector<std::string> secrets;
  for (const auto& [name, value] : config.headers) {
    secrets.push_back(value);
    const std::size_t blank = value.find(' ');
    if (blank != value.npos) secrets.push_back(value.substr(blank + 1));
  }
  const std::string_view url = config.url;
  if (const std::size_t query = url.find('?'); query != url.npos) {
    secrets.emplace_back(url.substr(query + 1, url.find('#', query) - query - 1));
  }
  return secrets;
}

}  // namespace

void add_secrets(Config& config, const std::vector<std::string>& more) {
  auto& secrets = config.secrets;
  secrets.insert(secrets.end(), more.begin(), more.end());
  std::sort(secrets.begin(), secrets.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
}

Result<Config> read_config(const nlohmann::json& credentials) {
  Config config;
  config.url = credentials.at("url").get<std::string>();
  config.method = credentials.value("method", config.method);
  config.size = credentials.value("size", config.size);
  config.gzip = credentials.value("compression", "") == "gzip";
  if (Result<void> ok = egress::validate_url(config.url); !ok.has_value()) {
    return wrong_setting("url", ok.error().message);
  }
  config.shown_url = config.url.substr(0, config.url.find_first_of("?#"));
  const auto headers = credentials.value("headers", std::vector<std::string>{});
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const std::string property = fmt::format("headers[{}]", i);
    Result<std::pair<std::string, std::string>> header = read_header(headers[i]);
    if (!header.has_value()) return wrong_setting(property, header.error().message);
    if (config.gzip && same_name(header->first, "Content-Encoding")) {
      return wrong_setting(property,
                           "Content-Encoding is set by Sluice itself, as compression is gzip");
    }
    config.headers.push_back(std::move(*header));
  }
  add_secrets(config, secrets_of(config));
  return config;
}

}  // namespace sluice::connectors::webhook
