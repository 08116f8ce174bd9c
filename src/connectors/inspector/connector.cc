#include "connectors/connector.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/inspector/schema.h"
#include "connectors/inspector/store.h"
#include "connectors/webhook/config.h"
#include "connectors/webhook/request.h"
#include "egress/http_client.h"

namespace sluice::connectors::inspector {
namespace {

constexpr std::uint64_t kBatchBytesMax = 5 * kMiB;

// The beginning of the body, not cut inside a UTF-8 character.
std::string begin_of(const std::vector<std::string_view>& parts) {
  std::string body;
  for (const std::string_view part : parts) {
    if (body.size() > kBodyBytesMax) break;
    body += part.substr(0, kBodyBytesMax + 1 - body.size());
  }
  if (body.size() <= kBodyBytesMax) return body;
  std::size_t end = kBodyBytesMax;
  while (end > 0 && (static_cast<unsigned char>(body[end]) & 0xc0) == 0x80) --end;
  body.resize(end);
  return body;
}

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
                      .body = begin_of(request.body)};
    for (const std::string_view part : request.body) kept.body_bytes += part.size();
    store_->add(batch.stream, std::move(kept));
    co_return SendOutcome{Delivered{}, 200, true};
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
