#include "connectors/pubsub/config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "connectors/common/service_call.h"
#include "connectors/common/settings.h"
#include "connectors/common/text.h"
#include "egress/http_client.h"

namespace sluice::connectors::pubsub {
namespace {

using nlohmann::json;

constexpr std::string_view kEndpoint = "https://pubsub.googleapis.com";
constexpr std::string_view kTokenUri = "https://oauth2.googleapis.com/token";
constexpr std::string_view kScope = "https://www.googleapis.com/auth/pubsub";
constexpr std::int64_t kAssertionLifeS = 3600;  // the most that the endpoint takes

Result<ServiceAccount> read_account(const std::string& text) {
  const auto wrong = [](std::string_view what) { return wrong_setting("service_account", what); };
  const json file = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (text_of(file, "type") != "service_account") {
    return wrong("must be the JSON key file of a service account");
  }
  const std::string email = text_of(file, "client_email");
  if (email.empty()) return wrong("has no client_email");
  std::string token_uri = text_of(file, "token_uri");
  if (token_uri.empty()) token_uri = kTokenUri;
  const Result<void> valid = egress::validate_url(token_uri);
  if (!valid.has_value()) return wrong("token_uri: " + valid.error().message);
  Result<signing::Rs256> key = signing::Rs256::from_pem(text_of(file, "private_key"));
  if (!key.has_value()) return wrong("private_key " + key.error().message);
  return ServiceAccount{email, text_of(file, "private_key_id"), std::move(token_uri),
                        *std::move(key)};
}

}  // namespace

Result<Config> read_config(const json& credentials) {
  const Result<std::string> endpoint = read_endpoint_url(credentials, kEndpoint);
  if (!endpoint.has_value()) return endpoint.error();
  Config config;
  config.topic_url = fmt::format("{}/v1/projects/{}/topics/{}", *endpoint,
                                 percent_encoded(credentials.at("cps_project").get<std::string>()),
                                 percent_encoded(credentials.at("cps_topic").get<std::string>()));
  const std::string account = credentials.value("service_account", "");
  if (account.empty()) return config;
  Result<ServiceAccount> read = read_account(account);
  if (!read.has_value()) return read.error();
  config.account = *std::move(read);
  return config;
}

std::string token_form(const ServiceAccount& account, WallTime now) {
  const std::int64_t now_s = now.ms / 1000;
  const nlohmann::ordered_json claims = {{"iss", account.email},
                                         {"scope", kScope},
                                         {"aud", account.token_uri},
                                         {"iat", now_s},
                                         {"exp", now_s + kAssertionLifeS}};
  return fmt::format("grant_type={}&assertion={}",
                     percent_encoded("urn:ietf:params:oauth:grant-type:jwt-bearer"),
                     account.key.sign(claims, account.key_id));
}

}  // namespace sluice::connectors::pubsub
