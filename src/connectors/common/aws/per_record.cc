#include "connectors/common/aws/per_record.h"

#include <fmt/format.h>
#include <simdjson.h>

#include "connectors/common/failure.h"
#include "connectors/common/message_key.h"

namespace sluice::connectors::aws {
namespace {

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

using simdjson::dom::element;

bool has(element record, std::string_view name) {
  element found;
  return record[name].get(found) == simdjson::SUCCESS && !found.is_null();
}

std::string_view text(element record, std::string_view name) {
  std::string_view said;
  return record[name].get(said) == simdjson::SUCCESS ? said : std::string_view{};
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
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::array records;
  if (parser.parse(answer.body)[per_record.list].get(records) != simdjson::SUCCESS ||
      records.size() != batch.records) {
    outcome.decision =
        RetryLater{fmt::format("{}: the answer does not name each record", per_record.call), {}, 0};
    return outcome;
  }
  std::uint32_t index = 0;
  for (const element record : records) {
    if (has(record, "ErrorCode")) {
      outcome.decision =
          RetryLater{fmt::format("{}: record {} of {}: {}: {}", per_record.call, index + 1,
                                 batch.records, text(record, "ErrorCode"),
                                 excerpt(std::string(text(record, "ErrorMessage")), {})),
                     {},
                     index};
      break;
    }
    ++index;
  }
  return outcome;
}

}  // namespace sluice::connectors::aws
