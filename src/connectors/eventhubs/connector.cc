#include "connectors/connector.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "connectors/common/auth.h"
#include "connectors/common/by_key.h"
#include "connectors/common/failure.h"
#include "connectors/common/service_call.h"
#include "connectors/common/settings.h"
#include "connectors/eventhubs/config.h"
#include "connectors/eventhubs/request.h"
#include "connectors/eventhubs/schema.h"

namespace sluice::connectors::eventhubs {
namespace {

// A batch may have as many keys as records, and a request for each must fit into one attempt.
constexpr std::uint32_t kRecordsMax = 200;
constexpr std::size_t kRequestsAtOnce = 8;

class EventHubsConnector final : public Connector {
 public:
  EventHubsConnector(Config config, egress::TlsOptions tls, const Destination& destination,
                     const ConnectorContext& context)
      : config_(std::move(config)),
        url_(config_.url + "/messages?api-version=2014-01"),
        organisation_(destination.organisation),
        http_(context.http),
        clock_(context.clock),
        tls_(http_.make_tls(std::move(tls))) {}

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    std::vector<KeyGroup> groups = group_by_key(batch);
    const SendGroup send_group = [this, deadline](const KeyGroup& group) {
      return send_one(group, deadline);
    };
    co_return co_await send_by_key(groups, kRequestsAtOnce, send_group);
  }

  // An empty batch: who sends it, and that he may, is looked at before it is found to be empty.
  Awaitable<Result<void>> check(Deadline deadline) override {
    const ServiceAnswer answer = co_await post("[]", deadline);
    if (answer.outcome.answered && answer.outcome.remote_status == 400) co_return Result<void>{};
    co_return as_check(answer.outcome);
  }

 private:
  Awaitable<SendOutcome> send_one(const KeyGroup& group, Deadline deadline) {
    const std::string body = events_of(group);
    ServiceAnswer answer = co_await post(body, deadline);
    co_return classify(std::move(answer), group);
  }

  Awaitable<ServiceAnswer> post(std::string_view body, Deadline deadline) {
    ServiceCall call;
    call.request.organisation = organisation_;
    call.request.url = url_;
    call.request.tls = tls_;
    call.request.headers = {{"Content-Type", "application/vnd.microsoft.servicebus.json"},
                            {"User-Agent", "Sluice/" SLUICE_VERSION},
                            {"Authorization", shared_access_signature(config_, clock_.now())}};
    call.request.body = {body};
    call.name = fmt::format("POST {}/messages", config_.url);
    call.secrets = {config_.key, call.request.headers.back().second};
    call.read_error = &read_error;
    co_return co_await perform(http_, std::move(call), deadline);
  }

  const Config config_;
  const std::string url_;
  const OrganisationId organisation_;
  egress::HttpClient& http_;
  const Clock& clock_;
  const std::shared_ptr<egress::TlsContext> tls_;
};

Result<Config> read_config(const nlohmann::json& credentials) {
  return read_connection_string(credentials.at("connection_string").get<std::string>());
}

BatchLimits limits(const nlohmann::json&) {
  return {kRecordsMax, kRequestBytesMax - kRecordsMax * kFrameBytesMax};
}

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  Result<Config> config = read_config(destination.settings.at("credentials"));
  if (!config.has_value()) return make_unusable(config.error());
  Result<AuthSettings> auth = read_auth(destination.settings);
  if (!auth.has_value()) return make_unusable(auth.error());
  return std::make_unique<EventHubsConnector>(*std::move(config), std::move(auth->tls), destination,
                                              context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "EventHubs",
    .id = 7,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
    .takes_ca = true,
};

}  // namespace sluice::connectors::eventhubs
