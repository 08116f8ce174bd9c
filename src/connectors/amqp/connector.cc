#include "connectors/connector.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/units.h"
#include "connectors/amqp/config.h"
#include "connectors/amqp/schema.h"
#include "connectors/amqp/session.h"
#include "connectors/common/auth.h"
#include "connectors/common/broker_exchange.h"
#include "connectors/common/failure.h"
#include "connectors/common/settings.h"

namespace sluice::connectors::amqp {
namespace {

constexpr BatchLimits kLimits{.records_max = 3000, .bytes_max = 5 * kMiB, .linger = {}};

class AmqpConnector final : public Connector {
 public:
  AmqpConnector(Config config, egress::StreamTarget target, const ConnectorContext& context)
      : config_(std::move(config)), target_(std::move(target)), http_(context.http) {}

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    SendOutcome outcome = co_await deliver(batch, deadline);
    outcome.exchange = broker_exchange(batch,
                                       {{"url", config_.url.shown},
                                        {"vhost", config_.vhost},
                                        {"exchange", config_.exchange},
                                        {"routing_key", config_.routing_key.text()}},
                                       outcome);
    co_return outcome;
  }

  Awaitable<Result<void>> check(Deadline deadline) override {
    SendOutcome outcome = co_await open(deadline);
    const bool ready = std::holds_alternative<Delivered>(outcome.decision);
    if (ready && !config_.exchange.empty()) {
      outcome = co_await session_->find_exchange(deadline);
    }
    if (std::holds_alternative<Delivered>(outcome.decision)) co_return Result<void>{};
    co_return Error{ErrorCode::Unavailable, std::string(reason_of(outcome.decision))};
  }

 private:
  // Delivered: there is a session.
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

  Awaitable<SendOutcome> deliver(const RecordBatch& batch, Deadline deadline) {
    SendOutcome opened = co_await open(deadline);
    if (!std::holds_alternative<Delivered>(opened.decision)) co_return opened;
    SendOutcome outcome = co_await session_->publish(batch, deadline);
    if (!std::holds_alternative<Delivered>(outcome.decision)) session_.reset();
    co_return outcome;
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
  egress::StreamTarget target{destination.organisation, config->url.host, config->url.port,
                              config->url.secure, context.http.make_tls(std::move(auth->tls))};
  return std::make_unique<AmqpConnector>(*std::move(config), std::move(target), context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "Amqp",
    .id = 12,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
    .speaks_tls = true,
};

}  // namespace sluice::connectors::amqp
