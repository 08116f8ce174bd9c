#include "connectors/kinesis/request.h"

#include <fmt/format.h>

#include "base/base64.h"
#include "connectors/common/aws/per_record.h"
#include "connectors/common/message_key.h"
#include "connectors/common/text.h"

namespace sluice::connectors::kinesis {
namespace {

constexpr std::size_t kFrameBytes = 64;  // around a record's data
constexpr const char* kHashKeysEnd = "340282366920938463463374607431768211456";  // 2^128

}  // namespace

std::string put_records(std::string_view stream_name, const RecordBatch& batch) {
  std::string body;
  body.reserve(batch.bytes / 3 * 4 + batch.records * kFrameBytes + stream_name.size() +
               kFrameBytes);
  body += "{\"Records\":[";
  for (const RecordRun& run : batch.runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      if (body.back() == '}') body += ',';
      body += "{\"Data\":\"";
      append_base64(body, run.chunk->record(i));
      body += "\",\"PartitionKey\":\"";
      body += message_key(*run.chunk, i);
      body += "\"}";
    }
  }
  body += "],\"StreamName\":";
  body += in_json(stream_name);
  body += '}';
  return body;
}

std::string put_nothing(std::string_view stream_name) {
  return fmt::format(
      R"({{"Records":[{{"Data":"","ExplicitHashKey":"{}","PartitionKey":"sluice"}}],)"
      R"("StreamName":{}}})",
      kHashKeysEnd, in_json(stream_name));
}

bool stored_nothing(const aws::Answer& answer) {
  return answer.error.code == "InvalidArgumentException" &&
         std::holds_alternative<Misconfigured>(answer.outcome.decision);
}

SendOutcome classify(aws::Answer answer, const RecordBatch& batch) {
  return aws::classify(std::move(answer), batch,
                       {.call = "PutRecords",
                        .list = "Records",
                        .record_bytes_max = kRecordBytesMax,
                        .counts_key = true});
}

}  // namespace sluice::connectors::kinesis
