#include "connectors/connector.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/units.h"
#include "connectors/common/auth.h"
#include "connectors/common/broker_exchange.h"
#include "connectors/common/failure.h"
#include "connectors/common/kind_word.h"
#include "connectors/common/message_key.h"
#include "connectors/common/settings.h"
#include "connectors/kafka/config.h"
#include "connectors/kafka/outcome.h"
#include "connectors/kafka/schema.h"
#include "kafka/producer.h"

namespace sluice::connectors::kafka {
namespace {

using sluice::kafka::Message;
using sluice::kafka::Producer;
using sluice::kafka::Sent;

constexpr BatchLimits kLimits{.records_max = 10'000, .bytes_max = 5 * kMiB, .linger = {}};

std::vector<Message> messages_of(const RecordBatch& batch) {
  std::vector<Message> messages;
  messages.reserve(batch.records);
  for (const RecordRun& run : batch.runs) {
    const recordlog::Chunk& chunk = *run.chunk;
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      messages.push_back({chunk.record(i), message_key(chunk, i), kind_word(chunk.kind),
                          std::to_string(plus(chunk.first, i).value())});
    }
  }
  return messages;
}

class KafkaConnector final : public Connector {
 public:
  KafkaConnector(Config config, OrganisationId organisation, const ConnectorContext& context)
      : config_(std::move(config)),
        organisation_(organisation),
        http_(context.http),
        clock_(context.clock) {}

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    if (const Result<void> ready = open(); !ready.has_value()) {
      co_return failed(ready.error(), Fault::Us, "Kafka client");
    }
    const std::vector<Message> messages = messages_of(batch);
    const auto keep = std::make_shared<const std::vector<RecordRun>>(batch.runs);
    const Sent sent = co_await producer_->send(messages, keep, deadline);
    std::optional<Sent> alone;
    if (wants_another_try(sent, batch.records) && !producer_->spent()) {
      const std::span<const Message> first(&messages[sent.delivered], 1);
      alone = co_await producer_->send(first, keep, deadline);
    }
    if (producer_->spent()) producer_.reset();
    SendOutcome outcome =
        classify(sent, alone, batch.records, config_.topic, config_.cluster.password);
    outcome.exchange = broker_exchange(
        batch, {{"brokers", config_.cluster.brokers}, {"topic", config_.topic}}, outcome);
    co_return outcome;
  }

  Awaitable<Result<void>> check(Deadline deadline) override {
    if (const Result<void> ready = open(); !ready.has_value()) co_return ready.error();
    const Sent looked = co_await producer_->look(deadline);
    if (producer_->spent()) producer_.reset();
    const SendOutcome outcome = classify(looked, {}, 0, config_.topic, config_.cluster.password);
    if (std::holds_alternative<Delivered>(outcome.decision)) co_return Result<void>{};
    co_return Error{ErrorCode::Unavailable, std::string(reason_of(outcome.decision))};
  }

 private:
  Result<void> open() {
    if (producer_ != nullptr && producer_->spent()) producer_.reset();
    if (producer_ != nullptr) return {};
    Result<std::unique_ptr<Producer>> made =
        Producer::open(http_, clock_, {config_.cluster, config_.topic, organisation_});
    if (!made.has_value()) return made.error();
    producer_ = *std::move(made);
    return {};
  }

  const Config config_;
  const OrganisationId organisation_;
  egress::HttpClient& http_;
  const Clock& clock_;
  std::unique_ptr<Producer> producer_;  // begun with the first batch
};

BatchLimits limits(const nlohmann::json&) { return kLimits; }

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  Result<Config> config = read_config(destination.settings.at("credentials"));
  if (!config.has_value()) return make_unusable(config.error());
  Result<AuthSettings> auth = read_auth(destination.settings);
  if (!auth.has_value()) return make_unusable(auth.error());
  config->cluster.tls = context.http.make_tls(std::move(auth->tls));
  return std::make_unique<KafkaConnector>(*std::move(config), destination.organisation, context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "Kafka",
    .id = 9,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
    .speaks_tls = true,
};

}  // namespace sluice::connectors::kafka
