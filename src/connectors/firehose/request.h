#pragma once
// A batch as a PutRecordBatch request, and what its answer means. Pure.
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html

#include <string>
#include <string_view>

#include "connectors/common/aws/client.h"
#include "connectors/connector.h"

namespace sluice::connectors::firehose {

// The API's limits: a request's records, its bytes and a record's bytes, before base64.
inline constexpr std::uint32_t kRecordsMax = 500;
inline constexpr std::uint64_t kRequestBytesMax = 4 * 1024 * 1024;
inline constexpr std::uint64_t kRecordBytesMax = 1000 * 1024;

// A line each: the service puts them one behind the other into its files.
std::string put_record_batch(std::string_view stream_name, const RecordBatch& batch);

// A request without a record, which the service refuses for that and nothing else.
std::string put_nothing(std::string_view stream_name);
bool stored_nothing(const aws::Answer& answer);

SendOutcome classify(aws::Answer answer, const RecordBatch& batch);

}  // namespace sluice::connectors::firehose
