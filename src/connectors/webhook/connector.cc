#include "connectors/connector.h"

#include <nlohmann/json.hpp>

#include "connectors/common/auth.h"
#include "connectors/common/failure.h"
#include "connectors/common/oauth_tokens.h"
#include "connectors/common/settings.h"
#include "connectors/exchange.h"
#include "connectors/webhook/config.h"
#include "connectors/webhook/outcome.h"
#include "connectors/webhook/request.h"
#include "connectors/webhook/schema.h"
#include "connectors/webhook/shown.h"
#include "egress/http_client.h"
#include "signing/settings.h"
#include "signing/signer.h"

namespace sluice::connectors::webhook {
namespace {

constexpr std::uint64_t kBatchBytesMax = 5 * 1024 * 1024;

class WebhookConnector final : public Connector {
 public:
  WebhookConnector(Config config, const signing::Settings& signing, AuthSettings auth,
                   OrganisationId organisation, const ConnectorContext& context)
      : config_(std::move(config)),
        secrets_(config_.secrets),
        signer_(signing, organisation, context.issuer),
        authorization_(std::move(auth.authorization)),
        organisation_(organisation),
        http_(context.http),
        clock_(context.clock),
        installation_(context.installation),
        tls_(http_.make_tls(auth.tls)) {
    if (!auth.oauth) return;
    auth.tls.ours_too = true;  // who gives tokens need not be who takes records
    tokens_.emplace(token_request(*std::move(auth.oauth)), organisation,
                    http_.make_tls(std::move(auth.tls)), http_, clock_);
  }

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    if (!tokens_) co_return co_await send_as(authorization_, batch, deadline);
    // A token that is refused is got anew, once.
    for (bool last = false;; last = true) {
      std::variant<std::string, SendOutcome> token = co_await tokens_->get(deadline);
      if (auto* none = std::get_if<SendOutcome>(&token)) co_return std::move(*none);
      hide(std::get<std::string>(token));
      std::string authorization = "Bearer " + std::get<std::string>(token);
      SendOutcome outcome = co_await send_as(std::move(authorization), batch, deadline);
      if (outcome.remote_status != 401) co_return outcome;
      tokens_->forget();
      if (last) co_return outcome;
    }
  }

  Awaitable<Result<void>> check(Deadline deadline) override {
    if (tokens_) {
      const std::variant<std::string, SendOutcome> token = co_await tokens_->get(deadline);
      if (const auto* none = std::get_if<SendOutcome>(&token)) {
        co_return Error{ErrorCode::Unavailable, std::string(reason_of(none->decision))};
      }
    }
    co_return co_await http_.probe(config_.url, organisation_, deadline, tls_);
  }

 private:
  // No message shows the token from now on.
  void hide(const std::string& token) {
    if (token == hidden_) return;
    hidden_ = token;
    config_.secrets = secrets_;
    add_secrets(config_, {token});
  }

  Awaitable<SendOutcome> send_as(std::string authorization, const RecordBatch& batch,
                                 Deadline deadline) {
    const WallTime now = clock_.now();
    const RenderedBody rendered = render_body(config_, batch);
    egress::HttpRequest request = build_request(config_, batch, now, installation_, rendered);
    request.tls = tls_;
    if (!authorization.empty()) request.headers.emplace_back("Authorization", authorization);
    signer_.sign({batch.webhook_id, now, request.body}, request.headers);
    auto exchange = std::make_shared<Exchange>();
    show_request(request, config_, *exchange);
    if (!rendered.packed.empty()) exchange->request_body = shown_body({rendered.bytes});
    Fault fault = Fault::Destination;
    Result<egress::HttpResponse> response =
        co_await http_.perform(std::move(request), deadline, &fault);
    SendOutcome outcome = response.has_value() ? classify(*response, config_)
                                               : classify(response.error(), fault, config_);
    if (response.has_value()) show_response(std::move(*response), config_, *exchange);
    outcome.exchange = std::move(exchange);
    co_return outcome;
  }

  Config config_;
  const std::vector<std::string> secrets_;  // that stand fast
  std::string hidden_;                      // the token that is among config_.secrets too
  const signing::Signer signer_;
  const std::string authorization_;  // "" = none, or a token's
  const OrganisationId organisation_;
  egress::HttpClient& http_;
  const Clock& clock_;
  const std::string installation_;
  const std::shared_ptr<egress::TlsContext> tls_;
  std::optional<OauthTokens> tokens_;
};

Format format_of(const nlohmann::json& destination) {
  const std::string name = destination.value("format", "Json");
  return name == "Csv" ? Format::Csv : name == "JsonLines" ? Format::JsonLines : Format::Json;
}

Result<void> fits(const nlohmann::json& destination, const StreamFacts& stream) {
  if (format_of(destination) != Format::Csv) return {};
  if (stream.kinds != KindSet{Kind::Usage, Kind::Event}) return {};
  return Error{
      ErrorCode::InvalidArgument,
      "destination.format: Csv has other columns for usage records than for events: make a "
      "stream of each (data_stream_type 1 and 2), or use JsonLines"};
}

BatchLimits limits(const nlohmann::json& credentials) {
  return {credentials.value("size", Config{}.size), kBatchBytesMax};
}

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  Result<Config> config = read_config(destination.settings.at("credentials"));
  if (!config.has_value()) return make_unusable(config.error());
  config->success_200_only = destination.success_200_only;
  config->format = format_of(destination.settings);
  const Result<signing::Settings> signing =
      signing::read_settings(destination.settings.value("signing", nlohmann::json()));
  if (!signing.has_value()) return make_unusable(signing.error());
  Result<AuthSettings> auth = read_auth(destination.settings);
  if (!auth.has_value()) return make_unusable(auth.error());
  add_secrets(*config, auth->secrets);
  add_secrets(*config, {signing->secret, signing->previous_secret});
  return std::make_unique<WebhookConnector>(std::move(*config), *signing, *std::move(auth),
                                            destination.organisation, context);
}

constexpr std::array<std::string_view, 3> kFormats = {"Json", "JsonLines", "Csv"};

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "RestAPI",
    .id = 1,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
    .sends_http = true,
    .formats = kFormats,
    .fits = &fits,
};

}  // namespace sluice::connectors::webhook
