#include "connectors/sqs/request.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "connectors/common/failure.h"
#include "connectors/common/kind_word.h"
#include "connectors/common/message_key.h"
#include "connectors/common/text.h"

namespace sluice::connectors::sqs {
namespace {

using nlohmann::json;

struct Failure {
  std::string code;
  std::string message;
  bool ours = false;  // the entry itself is at fault
};

// By entry, the first one first. An entry that the answer does not name failed, too.
std::map<std::uint32_t, Failure> failures_of(const json& said, std::uint32_t entries) {
  std::map<std::uint32_t, Failure> failures;
  for (std::uint32_t i = 0; i < entries; ++i) failures[i] = {"", "the answer does not name it"};
  const auto each = [&](const char* list, auto&& take) {
    const auto found = said.is_object() ? said.find(list) : said.end();
    if (found == said.end() || !found->is_array()) return;
    for (const json& one : *found) {
      const std::string id = one.is_object() ? text_of(one, "Id") : "";
      std::uint32_t entry = 0;
      const auto [end, fault] = std::from_chars(id.data(), id.data() + id.size(), entry);
      const bool named = fault == std::errc{} && end == id.data() + id.size() && entry < entries;
      if (named) take(entry, one);
    }
  };
  each("Successful", [&](std::uint32_t entry, const json&) { failures.erase(entry); });
  each("Failed", [&](std::uint32_t entry, const json& one) {
    const auto fault = one.find("SenderFault");
    failures[entry] = {text_of(one, "Code"), excerpt(text_of(one, "Message"), {}),
                       fault != one.end() && *fault == true};
  });
  return failures;
}

}  // namespace

std::string send_message_batch(const Queue& queue, const RecordBatch& batch) {
  std::string body = fmt::format(R"({{"QueueUrl":{},"Entries":[)", in_json(queue.url));
  std::uint32_t entry = 0;
  for (const RecordRun& run : batch.runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i, ++entry) {
      const recordlog::Chunk& chunk = *run.chunk;
      body += fmt::format(R"({}{{"Id":"{}","MessageBody":{})", entry == 0 ? "" : ",", entry,
                          in_json(chunk.record(i)));
      if (queue.fifo) {
        body += fmt::format(R"(,"MessageGroupId":"{}","MessageDeduplicationId":"{}-{}-{}")",
                            message_key(chunk, i), chunk.organisation.value(),
                            kind_word(chunk.kind), plus(chunk.first, i).value());
      }
      body += '}';
    }
  }
  body += "]}";
  return body;
}

std::string send_nothing(const Queue& queue) {
  return fmt::format(R"({{"QueueUrl":{},"Entries":[]}})", in_json(queue.url));
}

bool sent_nothing(const aws::Answer& answer) {
  return answer.error.code.ends_with("EmptyBatchRequest");
}

SendOutcome classify(aws::Answer answer, const RecordBatch& batch) {
  SendOutcome outcome = std::move(answer.outcome);
  // Of a request that holds one entry alone it is that entry's.
  const bool of_content = answer.error.code.ends_with("InvalidMessageContents");
  if (of_content) outcome.decision = Rejected{std::string(reason_of(outcome.decision))};
  if (!std::holds_alternative<Delivered>(outcome.decision)) return outcome;
  const json said = json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  const std::map<std::uint32_t, Failure> failures = failures_of(said, batch.records);
  if (failures.empty()) return outcome;
  const auto& [entry, failure] = *failures.begin();
  std::string reason = fmt::format("SendMessageBatch: record {} of {}: {}: {}", entry + 1,
                                   batch.records, failure.code, failure.message);
  const SendOutcome alone = aws::refused(400, {failure.code, failure.message}, {}, reason);
  const bool passes = std::holds_alternative<RetryLater>(alone.decision);
  if (failure.ours && !passes) {
    outcome.decision = Rejected{std::move(reason), entry};
  } else {
    outcome.decision = RetryLater{std::move(reason), {}, entry};
  }
  return outcome;
}

std::string region_of(std::string_view queue_url) {
  const std::size_t scheme = queue_url.find("://");
  if (scheme == queue_url.npos) return "";
  std::string_view host = queue_url.substr(scheme + 3);
  host = host.substr(0, host.find_first_of(":/"));
  if (host.find(".amazonaws.com") == host.npos || !host.starts_with("sqs.")) return "";
  host.remove_prefix(4);
  return std::string(host.substr(0, host.find('.')));
}

}  // namespace sluice::connectors::sqs
