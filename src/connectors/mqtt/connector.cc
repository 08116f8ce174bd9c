#include "connectors/connector.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>

#include "base/units.h"
#include "connectors/common/auth.h"
#include "connectors/common/broker_exchange.h"
#include "connectors/common/failure.h"
#include "connectors/common/settings.h"
#include "connectors/mqtt/config.h"
#include "connectors/mqtt/schema.h"
#include "connectors/mqtt/session.h"

namespace sluice::connectors::mqtt {
namespace {

// Fewer than there are packet ids.
constexpr BatchLimits kLimits{.records_max = 3000, .bytes_max = 5 * kMiB, .linger = {}};

// A broker ends the older one of two sessions with one id; a stream's replay has a session too.
std::string new_client_id(StreamId stream) {
  std::random_device random;
  return fmt::format("sluice-{}-{:08x}", stream.value(), random());
}

class MqttConnector final : public Connector {
 public:
  MqttConnector(Config config, egress::StreamTarget target, const ConnectorContext& context)
      : config_(std::move(config)), target_(std::move(target)), http_(context.http) {}

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    SendOutcome outcome = co_await open(deadline);
    if (session_ != nullptr) outcome = co_await session_->publish(batch, deadline);
    outcome.exchange = broker_exchange(
        batch, {{"url", config_.url.shown}, {"topic", config_.topic.text()}}, outcome);
    co_return outcome;
  }

  Awaitable<Result<void>> check(Deadline deadline) override {
    const SendOutcome outcome = co_await open(deadline);
    if (session_ != nullptr) co_return Result<void>{};
    co_return Error{ErrorCode::Unavailable, std::string(reason_of(outcome.decision))};
  }

 private:
  // Without a session after it: why.
  Awaitable<SendOutcome> open(Deadline deadline) {
    if (session_ != nullptr && !session_->usable()) session_.reset();
    if (session_ == nullptr) {
      std::variant<std::unique_ptr<Session>, SendOutcome> made =
          co_await Session::open(config_, target_, http_, deadline);
      if (auto* none = std::get_if<SendOutcome>(&made)) co_return std::move(*none);
      session_ = std::get<std::unique_ptr<Session>>(std::move(made));
    }
    co_return SendOutcome{Delivered{}, 200, true};
  }

  const Config config_;
  const egress::StreamTarget target_;
  egress::HttpClient& http_;
  std::unique_ptr<Session> session_;  // begun with the first batch
};

BatchLimits limits(const nlohmann::json&) { return kLimits; }

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  Result<Config> config = read_config(destination.settings.at("credentials"));
  if (!config.has_value()) return make_unusable(config.error());
  Result<AuthSettings> auth = read_auth(destination.settings);
  if (!auth.has_value()) return make_unusable(auth.error());
  config->login.client_id = new_client_id(destination.stream);
  egress::StreamTarget target{destination.organisation, config->url.host, config->url.port,
                              config->url.secure, context.http.make_tls(std::move(auth->tls))};
  return std::make_unique<MqttConnector>(*std::move(config), std::move(target), context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "Mqtt",
    .id = 13,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
    .speaks_tls = true,
};

}  // namespace sluice::connectors::mqtt
