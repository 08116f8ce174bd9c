#include "connectors/eventhubs/request.h"

#include <fmt/format.h>

#include <pugixml.hpp>

#include "connectors/common/text.h"

namespace sluice::connectors::eventhubs {

std::string events_of(const KeyGroup& group) {
  std::string body = "[";
  for (const std::string_view record : group.records) {
    if (body.size() > 1) body += ',';
    body += fmt::format(R"({{"Body":{},"BrokerProperties":{{"PartitionKey":{}}}}})",
                        in_json(record), in_json(group.key));
  }
  return body + "]";
}

ServiceError read_error(const egress::HttpResponse& response) {
  pugi::xml_document document;
  if (!document.load_buffer(response.body.data(), response.body.size())) return {};
  const pugi::xml_node error = document.child("Error");
  return {"", error.child_value("Detail")};
}

SendOutcome classify(ServiceAnswer answer, const KeyGroup& group) {
  SendOutcome outcome = std::move(answer.outcome);
  // 403 is "quota exceeded or message too large": of a request that is within the limit the first.
  if (outcome.answered && outcome.remote_status == 403) {
    std::uint64_t bytes = 0;
    for (const std::string_view record : group.records) bytes += record.size() + kFrameBytesMax;
    if (bytes > kRequestBytesMax) {
      outcome.decision = Rejected{std::string(reason_of(outcome.decision))};
    }
  }
  return outcome;
}

}  // namespace sluice::connectors::eventhubs
