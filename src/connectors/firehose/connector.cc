#include "connectors/connector.h"

#include <nlohmann/json.hpp>

#include "connectors/common/aws/client.h"
#include "connectors/common/aws/settings.h"
#include "connectors/common/failure.h"
#include "connectors/common/settings.h"
#include "connectors/firehose/request.h"
#include "connectors/firehose/schema.h"

namespace sluice::connectors::firehose {
namespace {

constexpr std::string_view kPutRecordBatch = "Firehose_20150804.PutRecordBatch";

class FirehoseConnector final : public Connector {
 public:
  FirehoseConnector(aws::Settings settings, std::string stream_name, const Destination& destination,
                    const ConnectorContext& context)
      : url_(aws::endpoint_url("firehose", settings.region, settings.endpoint_url) + "/"),
        stream_name_(std::move(stream_name)),
        client_(aws::client_options("firehose", std::move(settings), destination), context) {}

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    const std::string body = put_record_batch(stream_name_, batch);
    aws::Answer answer = co_await client_.perform_json(url_, kPutRecordBatch, body, deadline);
    co_return classify(std::move(answer), batch);
  }

  Awaitable<Result<void>> check(Deadline deadline) override {
    const std::string body = put_nothing(stream_name_);
    const aws::Answer answer = co_await client_.perform_json(url_, kPutRecordBatch, body, deadline);
    if (stored_nothing(answer)) co_return Result<void>{};
    co_return as_check(answer.outcome);
  }

 private:
  const std::string url_;
  const std::string stream_name_;
  aws::Client client_;
};

BatchLimits limits(const nlohmann::json&) {
  return {kRecordsMax, kRequestBytesMax - kRecordsMax};  // and their line breaks
}

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  const nlohmann::json& credentials = destination.settings.at("credentials");
  Result<aws::Settings> settings = aws::usable_settings(credentials);
  if (!settings.has_value()) return make_unusable(settings.error());
  return std::make_unique<FirehoseConnector>(
      *std::move(settings), credentials.at("stream_name").get<std::string>(), destination, context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "AwsFirehose",
    .id = 11,
    .schema_json = kSchemaJson,
    .validate = &validate_by<aws::read_settings>,
    .limits = &limits,
    .create = &create,
};

}  // namespace sluice::connectors::firehose
