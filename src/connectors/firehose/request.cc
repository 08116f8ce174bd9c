#include "connectors/firehose/request.h"

#include <fmt/format.h>

#include "base/base64.h"
#include "connectors/common/aws/per_record.h"
#include "connectors/common/text.h"
#include "formats/json_lines.h"

namespace sluice::connectors::firehose {
namespace {

constexpr std::size_t kFrameBytes = 16;  // around a record's data

}  // namespace

std::string put_record_batch(std::string_view stream_name, const RecordBatch& batch) {
  std::string body;
  body.reserve(batch.bytes / 3 * 4 + (batch.records + 8) * kFrameBytes + stream_name.size());
  body += "{\"Records\":[";
  std::string line;
  for (const RecordRun& run : batch.runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      if (body.back() == '}') body += ',';
      line.clear();
      formats::append_json_line(line, run.chunk->record(i));
      body += "{\"Data\":\"";
      append_base64(body, line);
      body += "\"}";
    }
  }
  body += "],\"DeliveryStreamName\":";
  body += in_json(stream_name);
  body += '}';
  return body;
}

std::string put_nothing(std::string_view stream_name) {
  return fmt::format(R"({{"Records":[],"DeliveryStreamName":{}}})", in_json(stream_name));
}

bool stored_nothing(const aws::Answer& answer) {
  const std::string& code = answer.error.code;
  return code == "ValidationException" || code == "InvalidArgumentException" ||
         std::holds_alternative<Delivered>(answer.outcome.decision);
}

SendOutcome classify(aws::Answer answer, const RecordBatch& batch) {
  return aws::classify(
      std::move(answer), batch,
      {.call = "PutRecordBatch", .list = "RequestResponses", .record_bytes_max = kRecordBytesMax});
}

}  // namespace sluice::connectors::firehose
