#include "connectors/common/aws/per_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "connectors/common/failure.h"
#include "connectors/common/message_key.h"

namespace sluice::connectors::aws {
namespace {

using nlohmann::json;

bool holds_too_large(const RecordBatch& batch, const PerRecord& per_record) {
  for (const RecordRun& run : batch.runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      std::uint64_t bytes = run.chunk->record(i).size();
      if (per_record.counts_key) bytes += message_key(*run.chunk, i).size();
      if (bytes > per_record.record_bytes_max) return true;
    }
  }
  return false;
}

}  // namespace

SendOutcome classify(Answer answer, const RecordBatch& batch, const PerRecord& per_record) {
  SendOutcome outcome = std::move(answer.outcome);
  const std::string& code = answer.error.code;
  if (code == "ValidationException" || code == "InvalidArgumentException") {
    if (holds_too_large(batch, per_record)) {
      outcome.decision = Rejected{std::string(reason_of(outcome.decision))};
    }
    return outcome;
  }
  if (!std::holds_alternative<Delivered>(outcome.decision)) return outcome;
  const json said = json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  const auto records = said.is_object() ? said.find(per_record.list) : said.end();
  if (records == said.end() || !records->is_array() || records->size() != batch.records) {
    outcome.decision =
        RetryLater{fmt::format("{}: the answer does not name each record", per_record.call), {}, 0};
    return outcome;
  }
  for (std::uint32_t i = 0; i < batch.records; ++i) {
    const json& record = (*records)[i];
    const bool failed =
        record.is_object() && record.contains("ErrorCode") && !record["ErrorCode"].is_null();
    if (!failed) continue;
    outcome.decision = RetryLater{
        fmt::format("{}: record {} of {}: {}: {}", per_record.call, i + 1, batch.records,
                    text_of(record, "ErrorCode"), excerpt(text_of(record, "ErrorMessage"), {})),
        {},
        i};
    break;
  }
  return outcome;
}

}  // namespace sluice::connectors::aws
