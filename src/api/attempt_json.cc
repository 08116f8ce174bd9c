#include "api/attempt_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "api/stream_json.h"

namespace sluice::api {
namespace {

using nlohmann::ordered_json;

std::string_view outcome_name(AttemptOutcome outcome) {
  switch (outcome) {
    case AttemptOutcome::Delivered: return "delivered";
    case AttemptOutcome::Retry: return "retry";
    case AttemptOutcome::Rejected: return "rejected";
    case AttemptOutcome::Misconfigured: return "misconfigured";
    case AttemptOutcome::Gone: return "gone";
    case AttemptOutcome::SummedUp: break;
  }
  return "summed_up";
}

std::string_view fault_name(Fault fault) {
  switch (fault) {
    case Fault::Destination: return "destination";
    case Fault::Network: return "network";
    case Fault::Us: break;
  }
  return "us";
}

// Lines "name: value"; a name that comes again has its values joined, as RFC 9110 reads them.
ordered_json headers_json(std::string_view lines) {
  ordered_json headers = ordered_json::object();
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    const std::size_t colon = line.find(": ");
    if (colon == line.npos) continue;
    const std::string value(line.substr(colon + 2));
    ordered_json& shown = headers[std::string(line.substr(0, colon))];
    shown = shown.is_null() ? value : shown.get<std::string>() + ", " + value;
  }
  return headers;
}

}  // namespace

ordered_json attempt_json(const Attempt& attempt) {
  static const Exchange kNone;
  const bool one = attempt.outcome != AttemptOutcome::SummedUp;
  const bool kept = attempt.exchange != nullptr;
  const Exchange& exchange = kept ? *attempt.exchange : kNone;
  const auto if_known = [](bool known, ordered_json value) {
    return known ? std::move(value) : ordered_json();
  };
  return {
      {"time", rfc3339(attempt.time)},
      {"webhook_id", if_known(one, attempt.webhook_id)},
      {"attempt", if_known(one, attempt.number)},
      {"first_offset", attempt.first.value()},
      {"last_offset", attempt.last.value()},
      {"records", attempt.records},
      {"bytes", attempt.bytes},
      {"status", if_known(attempt.status.has_value(), attempt.status.value_or(0))},
      {"latency_ms", if_known(one, static_cast<double>(attempt.latency.count()) / 1000)},
      {"outcome", outcome_name(attempt.outcome)},
      {"error", if_known(!attempt.error.empty(), attempt.error)},
      {"fault", if_known(attempt.fault.has_value(), fault_name(attempt.fault.value_or(Fault::Us)))},
      {"request_headers", if_known(kept, headers_json(exchange.request_headers))},
      {"request_body", if_known(kept, exchange.request_body)},
      {"response_headers", if_known(exchange.answered, headers_json(exchange.response_headers))},
      {"response_body", if_known(exchange.answered, exchange.response_body)},
  };
}

}  // namespace sluice::api
