#include "connectors/connector.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/units.h"
#include "connectors/common/failure.h"
#include "connectors/common/service_call.h"
#include "connectors/common/settings.h"
#include "connectors/common/text.h"
#include "connectors/keenio/request.h"
#include "connectors/keenio/schema.h"

namespace sluice::connectors::keenio {
namespace {

constexpr std::string_view kEndpoint = "https://api.keen.io";
constexpr std::size_t kAnswerBytesMax = 2 * kMiB;  // a flag, or an error, for each of 10,000
constexpr std::uint32_t kSizeMax = 10'000;
constexpr std::uint64_t kBatchBytesMax = 5 * kMiB;
static_assert(kBatchBytesMax + kSizeMax * kAddedBytesMax < kRequestBytesMax);

struct Config {
  std::string url;
  std::string write_key;
  std::string collection;  // "" = one for each kind
};

Result<Config> read_config(const nlohmann::json& credentials) {
  const Result<std::string> endpoint = read_endpoint_url(credentials, kEndpoint);
  if (!endpoint.has_value()) return endpoint.error();
  Result<std::string> write_key = read_header_secret(credentials, "write_key");
  if (!write_key.has_value()) return write_key.error();
  const std::string project = percent_encoded(credentials.at("project_id").get<std::string>());
  return Config{.url = fmt::format("{}/3.0/projects/{}/events", *endpoint, project),
                .write_key = *std::move(write_key),
                .collection = credentials.value("collection_name", "")};
}

class KeenConnector final : public Connector {
 public:
  KeenConnector(Config config, const Destination& destination, const ConnectorContext& context)
      : config_(std::move(config)), organisation_(destination.organisation), http_(context.http) {}

  // Settled when the requests of all collections are: the first record that was not taken decides.
  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    SendOutcome outcome;
    std::uint32_t taken = batch.records;
    const std::vector<Part> parts = parts_of(batch, config_.collection);
    for (const Part& part : parts) {
      ServiceAnswer answer = co_await post(part.body, deadline);
      const bool read = std::holds_alternative<Delivered>(answer.outcome.decision);
      PartOutcome settled = classify(std::move(answer), part);
      if (settled.taken < taken || taken == batch.records) outcome = std::move(settled.outcome);
      taken = std::min(taken, settled.taken);
      if (!read) break;
    }
    co_return outcome;
  }

  // An empty request: the project and the key are looked at before it is found to be empty.
  Awaitable<Result<void>> check(Deadline deadline) override {
    const ServiceAnswer answer = co_await post("{}", deadline);
    if (answer.outcome.answered && answer.outcome.remote_status == 400) co_return Result<void>{};
    co_return as_check(answer.outcome);
  }

 private:
  Awaitable<ServiceAnswer> post(std::string_view body, Deadline deadline) {
    ServiceCall call;
    call.request.organisation = organisation_;
    call.request.url = config_.url;
    add_json_headers(call.request);
    call.request.headers.emplace_back("Authorization", config_.write_key);
    call.request.body = {body};
    call.request.answer_bytes_max = kAnswerBytesMax;
    call.name = fmt::format("POST {}", config_.url);
    call.secrets = {config_.write_key};
    call.read_error = &read_error;
    co_return co_await perform(http_, std::move(call), deadline);
  }

  const Config config_;
  const OrganisationId organisation_;
  egress::HttpClient& http_;
};

BatchLimits limits(const nlohmann::json& credentials) {
  return {credentials.value("size", BatchLimits{}.records_max), kBatchBytesMax};
}

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  Result<Config> config = read_config(destination.settings.at("credentials"));
  if (!config.has_value()) return make_unusable(config.error());
  return std::make_unique<KeenConnector>(*std::move(config), destination, context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "KeenIO",
    .id = 4,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
};

}  // namespace sluice::connectors::keenio
