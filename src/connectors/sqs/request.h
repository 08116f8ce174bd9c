#pragma once
// A batch as a SendMessageBatch request, and what its answer means. Pure.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html

#include <string>
#include <string_view>

#include "connectors/common/aws/client.h"
#include "connectors/connector.h"

namespace sluice::connectors::sqs {

// The API's limits. Requests were once 256 KiB at most; queues of other makes still keep to that.
inline constexpr std::uint32_t kEntriesMax = 10;
inline constexpr std::uint64_t kRequestBytesMax = 256 * 1024;

struct Queue {
  std::string url;
  std::string endpoint;  // of its service: the URL without the path
  std::string region;    // of the URL, where it names one
  bool fifo = false;
};

std::string send_message_batch(const Queue& queue, const RecordBatch& batch);

// A request without an entry, which the service refuses for that and nothing else.
std::string send_nothing(const Queue& queue);
bool sent_nothing(const aws::Answer& answer);

SendOutcome classify(aws::Answer answer, const RecordBatch& batch);

// "https://sqs.eu-west-1.amazonaws.com/1/q" -> "eu-west-1"; "" = it names none.
std::string region_of(std::string_view queue_url);

}  // namespace sluice::connectors::sqs
