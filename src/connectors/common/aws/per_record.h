#pragma once
// Kinesis and Firehose take a list of records and answer a list of what became of each. Pure.

#include <cstdint>
#include <string_view>

#include "connectors/common/aws/client.h"
#include "connectors/connector.h"

namespace sluice::connectors::aws {

struct PerRecord {
  std::string_view call;           // "PutRecords"
  std::string_view list;           // of the answer, one entry a record
  std::uint64_t record_bytes_max;  // of the service
  bool counts_key = false;         // the record's key counts towards that
};

// What an answer of 200 says of each record goes before: from the first that failed on they go
// again. A refusal of the whole request for its form is one of its records' where one is too large:
// all else in it is ours to choose.
SendOutcome classify(Answer answer, const RecordBatch& batch, const PerRecord& per_record);

}  // namespace sluice::connectors::aws
