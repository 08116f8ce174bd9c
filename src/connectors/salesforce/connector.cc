#include "connectors/connector.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "connectors/common/auth.h"
#include "connectors/common/failure.h"
#include "connectors/common/oauth_tokens.h"
#include "connectors/common/service_call.h"
#include "connectors/common/settings.h"
#include "connectors/common/text.h"
#include "connectors/salesforce/request.h"
#include "connectors/salesforce/schema.h"

namespace sluice::connectors::salesforce {
namespace {

constexpr std::size_t kDescriptionBytesMax = 4 * kMiB;
constexpr int kUnauthorized = 401;

struct Config {
  TokenRequest token;
  std::string event_name;
  std::string api_path;  // "/services/data/v60.0"
  std::vector<Field> fields;
  std::vector<std::string> secrets;
};

// "60.0"
bool is_version(std::string_view text) {
  const std::size_t point = text.find('.');
  return point != 0 && point != text.npos && point + 1 < text.size() &&
         text.find_first_not_of("0123456789.") == text.npos &&
         text.find('.', point + 1) == text.npos;
}

// Where a refresh token is given it stands for its user, else the app for its own.
TokenRequest token_request(const nlohmann::json& credentials, std::string login_url) {
  const std::string refresh = credentials.value("refresh_token", "");
  const std::string form =
      refresh.empty() ? "grant_type=client_credentials"
                      : "grant_type=refresh_token&refresh_token=" + percent_encoded(refresh);
  return {.url = std::move(login_url) + "/services/oauth2/token",
          .form = [form](WallTime) { return form; },
          .client_id = credentials.at("client_id").get<std::string>(),
          .client_secret = credentials.at("client_secret").get<std::string>(),
          .in_form = true,
          .remedy = "look at client_id, client_secret, refresh_token and login_url"};
}

Result<Config> read_config(const nlohmann::json& credentials) {
  std::string login_url = credentials.value("login_url", "https://login.salesforce.com");
  const Result<void> valid = egress::validate_url(login_url);
  if (!valid.has_value()) return wrong_setting("login_url", valid.error().message);
  while (login_url.ends_with('/')) login_url.pop_back();
  Config config;
  config.event_name = credentials.at("event_name").get<std::string>();
  const bool plain = percent_encoded(config.event_name) == config.event_name;
  if (!config.event_name.ends_with("__e") || !plain) {
    return wrong_setting("event_name", "must be a platform event's API name, which ends with __e");
  }
  const std::string version = credentials.value("api_version", "60.0");
  if (!is_version(version)) return wrong_setting("api_version", "must be like 60.0");
  config.api_path = fmt::format("/services/data/v{}", version);
  Result<std::vector<Field>> fields =
      read_fields(credentials.value("fields", nlohmann::json::object()));
  if (!fields.has_value()) return fields.error();
  config.fields = *std::move(fields);
  config.token = token_request(credentials, std::move(login_url));
  config.secrets = {config.token.client_secret, credentials.value("refresh_token", "")};
  return config;
}

class SalesforceConnector final : public Connector {
 public:
  SalesforceConnector(Config config, egress::TlsOptions tls, const Destination& destination,
                      const ConnectorContext& context)
      : event_name_(std::move(config.event_name)),
        api_path_(std::move(config.api_path)),
        fields_(std::move(config.fields)),
        secrets_(std::move(config.secrets)),
        kinds_(destination.kinds),
        organisation_(destination.organisation),
        http_(context.http),
        tls_(http_.make_tls(std::move(tls))),
        tokens_(std::move(config.token), organisation_, tls_, http_, context.clock) {}

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    const std::string body =
        composite_of(batch, fmt::format("{}/sobjects/{}", api_path_, event_name_), fields_);
    ServiceAnswer answer = co_await call("POST", "/composite", body, deadline);
    co_return classify(std::move(answer), batch);
  }

  // The event's description: it names the fields that this user may set.
  Awaitable<Result<void>> check(Deadline deadline) override {
    const ServiceAnswer answer =
        co_await call("GET", fmt::format("/sobjects/{}/describe", event_name_), "", deadline);
    const Result<void> answered = as_check(answer.outcome);
    if (!answered.has_value()) co_return answered;
    const std::vector<std::string> missing = missing_from(answer.body);
    if (missing.empty()) co_return Result<void>{};
    co_return Error{ErrorCode::Unavailable,
                    fmt::format("{} lacks fields that may be set: {}; deploy them, let the user "
                                "see them, or say in `fields` which ones there are",
                                event_name_, fmt::join(missing, ", "))};
  }

 private:
  std::vector<std::string> missing_from(const std::string& description) const {
    if (!fields_.empty()) return missing_fields(description, fields_);
    std::vector<Field> wanted;
    for (const Kind kind : {Kind::Usage, Kind::Event}) {
      if (!kinds_.contains(kind)) continue;
      const std::vector<Field>& documented = fields_of(kind);
      wanted.insert(wanted.end(), documented.begin(), documented.end());
    }
    return missing_fields(description, wanted);
  }

  // A token that is refused is got anew, once.
  Awaitable<ServiceAnswer> call(std::string method, std::string path, std::string_view body,
                                Deadline deadline) {
    for (bool last = false;; last = true) {
      std::variant<std::string, SendOutcome> token = co_await tokens_.get(deadline);
      if (auto* none = std::get_if<SendOutcome>(&token)) {
        co_return ServiceAnswer{std::move(*none), {}, {}};
      }
      ServiceAnswer answer =
          co_await call_as(std::get<std::string>(token), method, path, body, deadline);
      if (answer.outcome.remote_status != kUnauthorized) co_return answer;
      tokens_.forget();
      if (last) co_return answer;
    }
  }

  Awaitable<ServiceAnswer> call_as(std::string token, const std::string& method,
                                   const std::string& path, std::string_view body,
                                   Deadline deadline) {
    const auto with_token =
        nlohmann::json::parse(tokens_.answer(), nullptr, /*allow_exceptions=*/false);
    std::string instance = text_of(with_token, "instance_url");
    while (instance.ends_with('/')) instance.pop_back();
    if (!egress::validate_url(instance).has_value()) {
      co_return ServiceAnswer{
          {RetryLater{"Salesforce's token came without an instance_url", {}, 0}, 502, false},
          {},
          {}};
    }
    ServiceCall call;
    call.request.organisation = organisation_;
    call.request.method = method;
    call.request.url = instance + api_path_ + path;
    call.request.tls = tls_;
    add_json_headers(call.request);
    call.request.headers.emplace_back("Authorization", "Bearer " + token);
    if (!body.empty()) call.request.body = {body};
    call.request.answer_bytes_max = kDescriptionBytesMax;
    call.name = fmt::format("{} {}", method, call.request.url);
    call.secrets = secrets_;
    call.secrets.push_back(std::move(token));
    call.read_error = &read_error;
    co_return co_await perform(http_, std::move(call), deadline);
  }

  const std::string event_name_;
  const std::string api_path_;
  const std::vector<Field> fields_;
  const std::vector<std::string> secrets_;
  const KindSet kinds_;
  const OrganisationId organisation_;
  egress::HttpClient& http_;
  const std::shared_ptr<egress::TlsContext> tls_;
  OauthTokens tokens_;
};

BatchLimits limits(const nlohmann::json&) { return {kSubrequestsMax}; }

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  Result<Config> config = read_config(destination.settings.at("credentials"));
  if (!config.has_value()) return make_unusable(config.error());
  Result<AuthSettings> auth = read_auth(destination.settings);
  if (!auth.has_value()) return make_unusable(auth.error());
  return std::make_unique<SalesforceConnector>(*std::move(config), std::move(auth->tls),
                                               destination, context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "Salesforce",
    .id = 6,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
    .takes_ca = true,
};

}  // namespace sluice::connectors::salesforce
