#include "connectors/common/broker_exchange.h"

#include "connectors/exchange.h"

namespace sluice::connectors {

std::shared_ptr<const Exchange> broker_exchange(
    const RecordBatch& batch,
    std::initializer_list<std::pair<std::string_view, std::string_view>> place,
    const SendOutcome& outcome) {
  auto exchange = std::make_shared<Exchange>();
  for (const auto& [name, value] : place) show_header(exchange->request_headers, name, value);
  std::vector<std::string_view> parts;
  for (const RecordRun& run : batch.runs) parts.push_back(run.joined());
  exchange->request_body = shown_body(parts);
  exchange->answered = outcome.answered;
  exchange->response_body = reason_of(outcome.decision);
  return exchange;
}

}  // namespace sluice::connectors
