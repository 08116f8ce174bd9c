#include "connectors/connector.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "connectors/common/auth.h"
#include "connectors/common/failure.h"
#include "connectors/common/service_call.h"
#include "connectors/common/settings.h"
#include "connectors/datadog/payload.h"
#include "connectors/datadog/schema.h"
#include "formats/gzip.h"

namespace sluice::connectors::datadog {
namespace {

constexpr std::uint64_t kBatchBytesMax = 4 * kMiB;  // logs hold a record as a text, a bit longer
constexpr int kTooLarge = 413;
constexpr int kUnprocessable = 422;

// https://docs.datadoghq.com/getting_started/site/
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kSites = {{
    {"US", "datadoghq.com"},
    {"US3", "us3.datadoghq.com"},
    {"US5", "us5.datadoghq.com"},
    {"EU", "datadoghq.eu"},
    {"AP1", "ap1.datadoghq.com"},
    {"US1FED", "ddog-gov.com"},
}};

struct Config {
  std::string api_url;
  std::string logs_url;
  std::string api_key;
  Options options;
};

Result<Config> read_config(const nlohmann::json& credentials) {
  Config config;
  Result<std::string> api_key = read_header_secret(credentials, "api_key");
  if (!api_key.has_value()) return api_key.error();
  config.api_key = *std::move(api_key);
  const std::string region = credentials.value("region", "US");
  const auto* const site =
      std::ranges::find(kSites, region, [](const auto& one) { return one.first; });
  if (site == kSites.end()) return wrong_setting("region", "is not known");
  Result<std::string> api =
      read_endpoint_url(credentials, fmt::format("https://api.{}", site->second));
  if (!api.has_value()) return api.error();
  config.api_url = *std::move(api);
  config.logs_url = credentials.contains("endpoint_url")
                        ? config.api_url
                        : fmt::format("https://http-intake.logs.{}", site->second);
  config.options = {.tags = split_tags(credentials.value("tags", "")),
                    .events_as_logs = credentials.value("events_as_logs", false),
                    .historical = credentials.value("historical", false)};
  return config;
}

class DatadogConnector final : public Connector {
 public:
  DatadogConnector(Config config, egress::TlsOptions tls, const Destination& destination,
                   const ConnectorContext& context)
      : config_(std::move(config)),
        organisation_(destination.organisation),
        http_(context.http),
        clock_(context.clock),
        tls_(http_.make_tls(std::move(tls))) {}

  // Points that are sent again replace themselves, so both requests go again where one failed.
  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    const Payload payload = payload_of(batch, config_.options, clock_.now());
    SendOutcome outcome{Delivered{}, 202, false};
    if (!payload.series.empty()) {
      outcome = co_await post(config_.api_url + "/api/v2/series", payload.series,
                              {kSeriesBytesMax, kSeriesPackedBytesMax}, deadline);
    }
    const bool good = std::holds_alternative<Delivered>(outcome.decision);
    if (good && !payload.logs.empty()) {
      outcome = co_await post(config_.logs_url + "/api/v2/logs", payload.logs,
                              {kLogsBytesMax, kLogsBytesMax}, deadline);
    }
    if (!std::holds_alternative<Delivered>(outcome.decision)) co_return outcome;
    outcome.skipped = payload.skipped;
    if (payload.too_old) {
      outcome.decision = SetAside{
          "TooOld: Datadog keeps no point older than an hour, unless the account has historical "
          "metrics (then set historical), and no log older than 18 hours",
          *payload.too_old, payload.too_old_count};
      outcome.remote_status = kUnprocessable;
      outcome.answered = true;
    }
    co_return outcome;
  }

  Awaitable<Result<void>> check(Deadline deadline) override {
    ServiceCall call = this->call(config_.api_url + "/api/v1/validate");
    call.request.method = "GET";
    call.name = fmt::format("GET {}", call.request.url);
    const ServiceAnswer answer = co_await perform(http_, std::move(call), deadline);
    co_return as_check(answer.outcome);
  }

 private:
  struct Bounds {
    std::uint64_t plain;
    std::uint64_t packed;
  };

  ServiceCall call(std::string url) const {
    ServiceCall call;
    call.request.organisation = organisation_;
    call.request.url = std::move(url);
    call.request.tls = tls_;
    add_json_headers(call.request);
    call.request.headers.emplace_back("DD-API-KEY", config_.api_key);
    call.secret_headers = {"DD-API-KEY"};
    call.secrets = {config_.api_key};
    call.read_error = &read_error;
    call.name = fmt::format("POST {}", call.request.url);
    return call;
  }

  Awaitable<SendOutcome> post(std::string url, std::string_view body, Bounds bounds,
                              Deadline deadline) {
    std::string packed;
    formats::Gzip gzip;
    gzip.append(body, packed);
    gzip.finish(packed);
    ServiceCall call = this->call(std::move(url));
    if (body.size() > bounds.plain || packed.size() > bounds.packed) {
      co_return SendOutcome{
          Rejected{fmt::format("{}: larger than Datadog takes, {} bytes", call.name, body.size())},
          kTooLarge, true};
    }
    call.request.headers.emplace_back("Content-Encoding", "gzip");
    call.request.body = {packed};
    call.plain_body = body;
    ServiceAnswer answer = co_await perform(http_, std::move(call), deadline);
    co_return std::move(answer.outcome);
  }

  const Config config_;
  const OrganisationId organisation_;
  egress::HttpClient& http_;
  const Clock& clock_;
  const std::shared_ptr<egress::TlsContext> tls_;
};

Result<void> fits(const nlohmann::json& destination, const StreamFacts& stream) {
  const nlohmann::json& credentials = destination.at("credentials");
  if (!stream.kinds.contains(Kind::Usage) && !credentials.value("events_as_logs", false)) {
    return wrong_setting("events_as_logs",
                         "Datadog takes usage alone as metrics: set this to send the stream's "
                         "events to its logs");
  }
  if (stream.historic && !credentials.value("historical", false)) {
    return Error{ErrorCode::InvalidArgument,
                 "stream_historic_data: Datadog takes no metrics older than an hour, unless the "
                 "account has historical metrics (then set destination.credentials.historical)"};
  }
  return {};
}

BatchLimits limits(const nlohmann::json&) { return {kLogsMax, kBatchBytesMax}; }

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  Result<Config> config = read_config(destination.settings.at("credentials"));
  if (!config.has_value()) return make_unusable(config.error());
  Result<AuthSettings> auth = read_auth(destination.settings);
  if (!auth.has_value()) return make_unusable(auth.error());
  return std::make_unique<DatadogConnector>(*std::move(config), std::move(auth->tls), destination,
                                            context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "Datadog",
    .id = 5,
    .schema_json = kSchemaJson,
    .validate = &validate_by<read_config>,
    .limits = &limits,
    .create = &create,
    .takes_ca = true,
    .fits = &fits,
};

}  // namespace sluice::connectors::datadog
