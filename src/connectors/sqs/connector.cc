#include "connectors/connector.h"

#include <nlohmann/json.hpp>

#include "connectors/common/aws/client.h"
#include "connectors/common/aws/settings.h"
#include "connectors/common/failure.h"
#include "connectors/common/settings.h"
#include "connectors/sqs/request.h"
#include "connectors/sqs/schema.h"
#include "egress/http_client.h"

namespace sluice::connectors::sqs {
namespace {

constexpr std::string_view kSendMessageBatch = "AmazonSQS.SendMessageBatch";
constexpr std::string_view kJsonVersion = "1.0";
constexpr std::string_view kDefaultRegion = "us-east-1";

Result<Queue> read_queue(const nlohmann::json& credentials) {
  Queue queue{.url = credentials.at("queue_url").get<std::string>(),
              .endpoint = "",
              .region = credentials.value("region", ""),
              .fifo = false};
  if (const Result<void> valid = egress::validate_url(queue.url); !valid.has_value()) {
    return wrong_setting("queue_url", valid.error().message);
  }
  if (queue.url.find_first_of("?#") != queue.url.npos) {
    return wrong_setting("queue_url", "must have no query");
  }
  queue.endpoint = queue.url.substr(0, queue.url.find('/', queue.url.find("://") + 3)) + "/";
  queue.fifo = queue.url.ends_with(".fifo");
  if (queue.region.empty()) queue.region = region_of(queue.url);
  if (queue.region.empty()) queue.region = kDefaultRegion;
  return queue;
}

class SqsConnector final : public Connector {
 public:
  SqsConnector(Queue queue, aws::Settings settings, const Destination& destination,
               const ConnectorContext& context)
      : queue_(std::move(queue)),
        client_(aws::client_options("sqs", std::move(settings), destination), context) {}

  Awaitable<SendOutcome> send(const RecordBatch& batch, Deadline deadline) override {
    const std::string body = send_message_batch(queue_, batch);
    aws::Answer answer = co_await client_.perform_json(queue_.endpoint, kSendMessageBatch, body,
                                                       deadline, kJsonVersion);
    co_return classify(std::move(answer), batch);
  }

  Awaitable<Result<void>> check(Deadline deadline) override {
    const std::string body = send_nothing(queue_);
    const aws::Answer answer = co_await client_.perform_json(queue_.endpoint, kSendMessageBatch,
                                                             body, deadline, kJsonVersion);
    if (sent_nothing(answer)) co_return Result<void>{};
    co_return as_check(answer.outcome);
  }

 private:
  const Queue queue_;
  aws::Client client_;
};

Result<void> validate(const nlohmann::json& credentials) {
  const Result<Queue> queue = read_queue(credentials);
  if (!queue.has_value()) return queue.error();
  const Result<aws::Access> access = aws::read_access(credentials);
  if (!access.has_value()) return access.error();
  return {};
}

BatchLimits limits(const nlohmann::json&) { return {kEntriesMax, kRequestBytesMax}; }

std::unique_ptr<Connector> create(const Destination& destination, const ConnectorContext& context) {
  const nlohmann::json& credentials = destination.settings.at("credentials");
  Result<Queue> queue = read_queue(credentials);
  if (!queue.has_value()) return make_unusable(queue.error());
  if (const Result<void> valid = aws::check_region(queue->region); !valid.has_value()) {
    return make_unusable(valid.error());
  }
  Result<aws::Access> access = aws::read_access(credentials);
  if (!access.has_value()) return make_unusable(access.error());
  aws::Settings settings{.region = queue->region, .endpoint_url = "", .access = *std::move(access)};
  return std::make_unique<SqsConnector>(*std::move(queue), std::move(settings), destination,
                                        context);
}

}  // namespace

extern constinit const ConnectorDescriptor kDescriptor;
constinit const ConnectorDescriptor kDescriptor{
    .type = "AwsSqs",
    .id = 10,
    .schema_json = kSchemaJson,
    .validate = &validate,
    .limits = &limits,
    .create = &create,
};

}  // namespace sluice::connectors::sqs
