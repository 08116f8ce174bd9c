#include "connectors/connector.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/units.h"
#include "connectors/common/auth.h"
#include "connectors/common/by_key.h"
#include "connectors/common/failure.h"
#include "connectors/common/oauth_tokens.h"
#include "connectors/common/service_call.h"
#include "connectors/common/settings.h"
#include "connectors/pubsub/config.h"
#include "connectors/pubsub/request.h"
#include "connectors/pubsub/schema.h"

namespace sluice::connectors::pubsub {
namespace {

// A batch may have as many keys as records, and a request for each must fit into one attempt.
constexpr std::uint32_t kRecordsMax = 200;
constexpr std::size_t kRequestsAtOnce = 8;
constexpr std::uint64_t kBatchBytesMax = 5 * kMiB;
static_assert(kRecordsMax <= kMessagesMax);
static_assert(kBatchBytesMax / 3 * 4 + kRecordsMax * kFrameBytesMax < kRequestBytesMax);

constexpr std::string_view kMayPublish = R"({"permissions":["pubsub.topics.publish"]})";
constexpr int kUnauthenticated = 401;

// The answer names those of the permissions asked for that there are.
bool grants_publish(const std::string& body) {
  using nlohmann::json;
  const json said = json::parse(body, nullptr, /*allow_exceptions=*/false);
  return said == json::parse(kMayPublish);
}

class PubSubConnector final : public Connector {
 public:
  PubSubConnector(Config config, egress::TlsOptions tls, const Destination& destination,
                  const ConnectorContext& context)
      : topic_url_(std::move(config.topic_url)),
        organisation_(destination.organisation),
        http_(context.http),
        tls_(http_.make_tls(tls)) {
    if (!config.account) return;
    tls.ours_too = true;  // who gives tokens need not be who takes records
    TokenRequest request{
        .url = config.account->token_uri,
        .form = [account = *config.account](WallTime now) { return token_form(account, now); },
        .remedy = "look at destination.credentials.service_account"};
    tokens_.emplace(std::move(request), organisation_, http_.make_tls(std::move(tls)), http_,
                    context.clock);
  }

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    std::vector<KeyGroup> groups = group_by_key(batch);
    std::string token;
    const SendGroup send_group = [this, &token, deadline](const KeyGroup& group) {
      return send_one(group, token, deadline);
    };
    // A token that is refused is got anew, once; what was published with it stays so.
    for (bool last = false;; last = true) {
      std::variant<std::string, SendOutcome> got = co_await this->token(deadline);
      if (auto* none = std::get_if<SendOutcome>(&got)) co_return std::move(*none);
      token = std::get<std::string>(std::move(got));
      SendOutcome outcome = co_await send_by_key(groups, kRequestsAtOnce, send_group);
      if (outcome.remote_status != kUnauthenticated || !tokens_) co_return outcome;
      tokens_->forget();
      if (last) co_return outcome;
    }
  }

  // Who may publish is asked without publishing, and needs no permission.
  Awaitable<Result<void>> check(Deadline deadline) override {
    std::variant<std::string, SendOutcome> token = co_await this->token(deadline);
    if (const auto* none = std::get_if<SendOutcome>(&token)) co_return as_check(*none);
    const ServiceAnswer answer =
        co_await post("testIamPermissions", kMayPublish, std::get<std::string>(token), deadline);
    const Result<void> answered = as_check(answer.outcome);
    if (!answered.has_value()) co_return answered;
    if (grants_publish(answer.body)) co_return Result<void>{};
    co_return Error{ErrorCode::Unavailable,
                    fmt::format("{}: there is no such topic, or the service account lacks the "
                                "permission pubsub.topics.publish on it (roles/pubsub.publisher)",
                                topic_url_)};
  }

 private:
  Awaitable<std::variant<std::string, SendOutcome>> token(Deadline deadline) {
    if (!tokens_) co_return std::string();
    co_return co_await tokens_->get(deadline);
  }

  Awaitable<SendOutcome> send_one(const KeyGroup& group, const std::string& token,
                                  Deadline deadline) {
    const std::string body = messages_of(group);
    ServiceAnswer answer = co_await post("publish", body, token, deadline);
    co_return classify(std::move(answer));
  }

  Awaitable<ServiceAnswer> post(std::string_view method, std::string_view body,
                                const std::string& token, Deadline deadline) {
    ServiceCall call;
    call.request.organisation = organisation_;
    call.request.url = fmt::format("{}:{}", topic_url_, method);
    call.request.tls = tls_;
    add_json_headers(call.request);
    if (!token.empty()) call.request.headers.emplace_back("Authorization", "Bearer " + token);
    call.request.body = {body};
    call.name = fmt::format("POST {}", call.request.url);
    call.secrets = {token};
    call.read_error = &read_error;
    co_return co_await perform(http_, std::move(call), deadline);
  }

  const std::string topic_url_;
  const OrganisationId organisation_;
  egress::HttpClient& http_;
  const std::shared_ptr<egress::TlsContext> tls_;
  std::optional<OauthTokens> tokens_;
};

BatchLimits limits(const nlohmann::json&) { return {kRecordsMax, kBatchBytesMax}; }

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  const nlohmann::json& credentials = destination.settings.at("credentials");
  Result<Config> config = read_config(credentials);
  if (!config.has_value()) return make_unusable(config.error());
  if (!config->account && !credentials.contains("endpoint_url")) {
    return make_unusable(wrong_setting(
        "service_account",
        "is required: this server has no Google account of its own that could publish for you"));
  }
  Result<AuthSettings> auth = read_auth(destination.settings);
  if (!auth.has_value()) return make_unusable(auth.error());
  return std::make_unique<PubSubConnector>(*std::move(config), std::move(auth->tls), destination,
                                           context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "PubSub",
    .id = 8,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
    .takes_ca = true,
};

}  // namespace sluice::connectors::pubsub
