#pragma once
// A batch as a PutRecords request, and what its answer means. Pure.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html

#include <string>
#include <string_view>

#include "connectors/common/aws/client.h"
#include "connectors/connector.h"

namespace sluice::connectors::kinesis {

// The API's limits: a request's records, its bytes and a record's bytes, both with partition keys
// and before base64.
inline constexpr std::uint32_t kRecordsMax = 500;
inline constexpr std::uint64_t kRequestBytesMax = 5 * 1024 * 1024;
inline constexpr std::uint64_t kRecordBytesMax = 1024 * 1024;

std::string put_records(std::string_view stream_name, const RecordBatch& batch);

// A request that passes everything but the look at its one record, and so stores nothing: its hash
// key lies outside of the range that a stream has.
std::string put_nothing(std::string_view stream_name);
bool stored_nothing(const aws::Answer& answer);

SendOutcome classify(aws::Answer answer, const RecordBatch& batch);

}  // namespace sluice::connectors::kinesis
