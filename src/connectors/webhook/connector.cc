#include "connectors/connector.h"

#include <nlohmann/json.hpp>

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
  WebhookConnector(Config config, signing::Signer signer, OrganisationId organisation,
                   const ConnectorContext& context)
      : config_(std::move(config)),
        signer_(std::move(signer)),
        organisation_(organisation),
        http_(context.http),
        clock_(context.clock),
        installation_(context.installation) {}

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    const WallTime now = clock_.now();
    egress::HttpRequest request = build_request(config_, batch, now, installation_);
    signer_.sign({batch.webhook_id, now, request.body}, request.headers);
    auto exchange = std::make_shared<Exchange>();
    show_request(request, config_, *exchange);
    Fault fault = Fault::Destination;
    Result<egress::HttpResponse> response =
        co_await http_.perform(std::move(request), deadline, &fault);
    SendOutcome outcome = response.has_value() ? classify(*response, config_)
                                               : classify(response.error(), fault, config_);
    if (response.has_value()) show_response(std::move(*response), config_, *exchange);
    outcome.exchange = std::move(exchange);
    co_return outcome;
  }

  Awaitable<Result<void>> check(Deadline deadline) override {
    return http_.probe(config_.url, organisation_, deadline);
  }

 private:
  const Config config_;
  const signing::Signer signer_;
  const OrganisationId organisation_;
  egress::HttpClient& http_;
  const Clock& clock_;
  const std::string installation_;
};

// Settings from the catalog that today's rules refuse, although those of their day took them: the
// stream says so instead of the server not starting.
class UnusableConnector final : public Connector {
 public:
  explicit UnusableConnector(Error error) : error_(std::move(error)) {}

  Awaitable<SendOutcome> send(const RecordBatch&, Deadline) override {
    co_return SendOutcome{Misconfigured{error_.message}, 500, false};
  }
  Awaitable<Result<void>> check(Deadline) override { co_return error_; }

 private:
  const Error error_;
};

Result<void> validate(const nlohmann::json& credentials) {
  const Result<Config> config = read_config(credentials);
  if (!config.has_value()) return config.error();
  return {};
}

BatchLimits limits(const nlohmann::json& credentials) {
  return {credentials.value("size", Config{}.size), kBatchBytesMax};
}

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  Result<Config> config = read_config(destination.settings.at("credentials"));
  if (!config.has_value()) return std::make_unique<UnusableConnector>(config.error());
  config->success_200_only = destination.success_200_only;
  const Result<signing::Settings> signing =
      signing::read_settings(destination.settings.value("signing", nlohmann::json()));
  if (!signing.has_value()) return std::make_unique<UnusableConnector>(signing.error());
  add_secrets(*config, {signing->secret, signing->previous_secret});
  return std::make_unique<WebhookConnector>(
      std::move(*config), signing::Signer(*signing, destination.organisation, context.issuer),
      destination.organisation, context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "RestAPI",
    .id = 1,
    .schema_json = kSchemaJson,
    .validate = &validate,
    .limits = &limits,
    .create = &create,
    .sends_http = true,
};

}  // namespace sluice::connectors::webhook
