#include "connectors/pubsub/request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "connectors/common/text.h"

namespace sluice::connectors::pubsub {

std::string messages_of(const KeyGroup& group) {
  const std::string end = fmt::format(R"(","orderingKey":{}}})", in_json(group.key));
  std::string body = R"({"messages":[)";
  for (const std::string_view record : group.records) {
    if (body.back() == '}') body += ',';
    body += R"({"data":")";
    append_base64(body, record);
    body += end;
  }
  return body + "]}";
}

ServiceError read_error(const egress::HttpResponse& response) {
  using nlohmann::json;
  const json said = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  const json error = said.is_object() ? said.value("error", json()) : json();
  return {text_of(error, "status"), text_of(error, "message")};
}

SendOutcome classify(ServiceAnswer answer) {
  SendOutcome outcome = std::move(answer.outcome);
  const std::string& code = answer.error.code;
  std::string reason(reason_of(outcome.decision));
  if (code == "ABORTED" || code == "CANCELLED") {  // 409, 499
    outcome.decision = RetryLater{std::move(reason), answer.retry_after, 0};
  } else if (code == "FAILED_PRECONDITION") {  // 400: the topic's key or policy, not the messages
    outcome.decision = Misconfigured{std::move(reason)};
  }
  return outcome;
}

}  // namespace sluice::connectors::pubsub
