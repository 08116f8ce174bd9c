#include "connectors/kafka/outcome.h"

#include <fmt/format.h>

#include "connectors/common/failure.h"

namespace sluice::connectors::kafka {
namespace {

using sluice::kafka::Meaning;
using sluice::kafka::Sent;

constexpr int kTooLarge = 413;

bool is_refusal(const Sent& sent) {
  return !sent.fault && (sent.meaning == Meaning::TooLarge || sent.meaning == Meaning::Refused);
}

SendOutcome unanswered(const Sent& sent, std::uint32_t delivered, std::string_view topic,
                       const std::vector<std::string>& secrets) {
  const Error error{sent.fault->error.code, excerpt(sent.fault->error.message, secrets)};
  SendOutcome outcome = failed(error, sent.fault->fault, fmt::format("topic {}", topic));
  if (auto* later = std::get_if<RetryLater>(&outcome.decision)) later->first_failed = delivered;
  return outcome;
}

}  // namespace

bool wants_another_try(const Sent& sent, std::uint32_t records) {
  return is_refusal(sent) && records > 1;
}

SendOutcome classify(const Sent& sent, const std::optional<Sent>& alone, std::uint32_t records,
                     std::string_view topic, const std::string& password) {
  const std::vector<std::string> secrets = {password};
  if (alone && !is_refusal(*alone) && alone->delivered == 0) {
    if (alone->fault) return unanswered(*alone, sent.delivered, topic, secrets);
  } else if (sent.fault) {
    return unanswered(sent, sent.delivered, topic, secrets);
  }
  const Sent& last = alone && alone->delivered == 0 ? *alone : sent;
  const std::string said = excerpt(last.text, secrets);
  const std::string reason =
      last.meaning == Meaning::Settings
          ? fmt::format("topic {}: {}", topic, said)
          : fmt::format("topic {}: record {} of {}: {}", topic, sent.delivered + 1, records, said);
  switch (last.meaning) {
    case Meaning::Done: return {Delivered{}, 200, true};
    case Meaning::Settings: return {Misconfigured{reason}, 500, true};
    case Meaning::Passes: return {RetryLater{reason, {}, sent.delivered}, 503, true};
    case Meaning::TooLarge:
    case Meaning::Refused: break;
  }
  const int status = last.meaning == Meaning::TooLarge ? kTooLarge : 422;
  const bool together = alone && alone->delivered == 1;
  if (together) return {Rejected{reason, {}}, status, true};
  return {Rejected{reason, sent.delivered}, status, true};
}

}  // namespace sluice::connectors::kafka
