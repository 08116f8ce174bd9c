#include "connectors/common/auth.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/text.h"
#include "connectors/common/text.h"

namespace sluice::connectors {
namespace {

using nlohmann::json;

constexpr std::array<AuthType, 4> kTypes = {{
    {"basic", R"({"type": "basic", "label": "Basic", "fields": [
      {"key": "type", "kind": "enum", "values": ["basic"], "label": "Type", "required": true},
      {"key": "username", "kind": "string", "label": "User name"},
      {"key": "password", "kind": "secret", "label": "Password"},
      {"key": "value", "kind": "secret", "label": "Encoded",
       "help": "In place of user name and password: both with a colon between them, as base64."}
    ]})"},
    {"bearer", R"({"type": "bearer", "label": "Bearer token", "fields": [
      {"key": "type", "kind": "enum", "values": ["bearer"], "label": "Type", "required": true},
      {"key": "token", "kind": "secret", "label": "Token", "required": true}
    ]})"},
    {"oauth2_client_credentials",
     R"({"type": "oauth2_client_credentials", "label": "OAuth 2.0 client credentials", "fields": [
      {"key": "type", "kind": "enum", "values": ["oauth2_client_credentials"], "label": "Type",
       "required": true},
      {"key": "token_url", "kind": "url", "label": "Token URL", "required": true, "target": true,
       "help": "Where tokens are got. Each is used until it ends or is refused."},
      {"key": "client_id", "kind": "string", "label": "Client id", "required": true},
      {"key": "client_secret", "kind": "secret", "label": "Client secret", "required": true},
      {"key": "scope", "kind": "string", "label": "Scope",
       "help": "Several are separated by blanks."}
    ]})"},
    {"mtls", R"({"type": "mtls", "label": "Client certificate", "fields": [
      {"key": "type", "kind": "enum", "values": ["mtls"], "label": "Type", "required": true},
      {"key": "certificate", "kind": "pem", "label": "Certificate", "required": true,
       "help": "In PEM, followed by the certificates of its chain, if any."},
      {"key": "key", "kind": "secret", "label": "Private key", "required": true,
       "help": "In PEM, not encrypted."}
    ]})"},
}};

Error invalid(std::string_view property, std::string_view message) {
  return {ErrorCode::InvalidArgument, fmt::format("destination.auth.{}: {}", property, message)};
}

Result<void> read_basic(const json& auth, AuthSettings& settings) {
  if (auth.contains("value")) {
    if (auth.contains("username") || auth.contains("password")) {
      return invalid("value", "stands in place of username and password: give it alone");
    }
    const auto& value = auth.at("value").get_ref<const std::string&>();
    const std::optional<std::string> text = from_base64(value);
    if (!text || text->find(':') == text->npos) {
      return invalid("value", "must be the base64 of <user name>:<password>");
    }
    settings.authorization = "Basic " + value;
    settings.secrets = {value, text->substr(text->find(':') + 1)};
    return {};
  }
  for (const char* name : {"username", "password"}) {
    if (!auth.contains(name)) return invalid(name, "is required, or value in place of both");
    if (has_control(auth.at(name).get_ref<const std::string&>())) {
      return invalid(name, "must not hold control characters");
    }
  }
  const auto& username = auth.at("username").get_ref<const std::string&>();
  const auto& password = auth.at("password").get_ref<const std::string&>();
  if (username.find(':') != username.npos) return invalid("username", "must not hold a colon");
  const std::string value = base64(username + ":" + password);
  settings.authorization = "Basic " + value;
  settings.secrets = {value, password};
  return {};
}

Result<void> read_bearer(const json& auth, AuthSettings& settings) {
  const auto& token = auth.at("token").get_ref<const std::string&>();
  if (!is_visible_ascii(token))
    return invalid("token", "must be visible ASCII characters without blanks");
  settings.authorization = "Bearer " + token;
  settings.secrets = {token};
  return {};
}

Result<void> read_client_credentials(const json& auth, AuthSettings& settings) {
  ClientCredentials oauth{auth.at("token_url").get<std::string>(),
                          auth.at("client_id").get<std::string>(),
                          auth.at("client_secret").get<std::string>(), auth.value("scope", "")};
  if (Result<void> ok = egress::validate_url(oauth.token_url); !ok.has_value()) {
    return invalid("token_url", ok.error().message);
  }
  settings.secrets = {oauth.client_secret};
  settings.oauth = std::move(oauth);
  return {};
}

Result<void> read_type(const json& auth, AuthSettings& settings) {
  const std::string type = auth.value("type", "");
  if (type == "basic") return read_basic(auth, settings);
  if (type == "bearer") return read_bearer(auth, settings);
  if (type == "oauth2_client_credentials") return read_client_credentials(auth, settings);
  if (type != "mtls") return invalid("type", "is not known");
  settings.tls.certificate = auth.at("certificate").get<std::string>();
  settings.tls.key = auth.at("key").get<std::string>();
  return {};
}

}  // namespace

std::span<const AuthType> auth_types() { return kTypes; }

const AuthType* find_auth_type(std::string_view name) {
  const auto* const found = std::ranges::find(kTypes, name, &AuthType::name);
  return found == kTypes.end() ? nullptr : found;
}

Result<AuthSettings> read_auth(const json& destination) {
  AuthSettings settings;
  if (const auto auth = destination.find("auth"); auth != destination.end()) {
    Result<void> read = read_type(*auth, settings);
    if (!read.has_value()) return read.error();
  }
  settings.tls.ca = destination.value("ca", "");
  const Result<void> usable = egress::validate(settings.tls);
  if (usable.has_value()) return settings;
  const std::string& message = usable.error().message;  // "ca: ...", "certificate: ..."
  return Error{usable.error().code, message.starts_with("ca:") ? "destination." + message
                                                               : "destination.auth." + message};
}

}  // namespace sluice::connectors
