#include "connectors/connector.h"

#include <nlohmann/json.hpp>

#include "connectors/exchange.h"
#include "connectors/inspector/schema.h"
#include "connectors/inspector/store.h"
#include "connectors/webhook/config.h"
#include "connectors/webhook/request.h"
#include "egress/http_client.h"

namespace sluice::connectors::inspector {
namespace {

constexpr std::uint64_t kBatchBytesMax = 5 * kMiB;

class InspectorConnector final : public Connector {
 public:
  explicit InspectorConnector(const ConnectorContext& context)
      : store_(context.inspector), clock_(context.clock), installation_(context.installation) {}

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline) override {
    if (store_ == nullptr) {
      co_return SendOutcome{Misconfigured{"this server has no inspector"}, 500, false};
    }
    const WallTime now = clock_.now();
    egress::HttpRequest request =
        webhook::build_request(webhook::Config{}, batch, now, installation_);
    KeptDelivery kept{.time = now,
                      .webhook_id = batch.webhook_id,
                      .first = batch.first,
                      .last = batch.last,
                      .records = batch.records,
                      .headers = std::move(request.headers),
                      .body = shown_body(request.body)};
    for (const std::string_view part : request.body) kept.body_bytes += part.size();
    auto exchange = std::make_shared<Exchange>();
    for (const auto& [name, value] : kept.headers) {
      show_header(exchange->request_headers, name, value);
    }
    exchange->request_body = kept.body;
    exchange->answered = true;
    store_->add(batch.stream, std::move(kept));
    SendOutcome outcome{Delivered{}, 200, true};
    outcome.exchange = std::move(exchange);
    co_return outcome;
  }

  Awaitable<Result<void>> check(Deadline) override { co_return Result<void>{}; }

 private:
  Store* const store_;
  const Clock& clock_;
  const std::string installation_;
};

Result<void> validate(const nlohmann::json&) { return {}; }

BatchLimits limits(const nlohmann::json&) { return {webhook::Config{}.size, kBatchBytesMax}; }

std::unique_ptr<Connector> create(const Destination&, const ConnectorContext& context) {
  return std::make_unique<InspectorConnector>(context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "Inspector",
    .id = 14,
    .schema_json = kSchemaJson,
    .validate = &validate,
    .limits = &limits,
    .create = &create,
};

}  // namespace sluice::connectors::inspector
