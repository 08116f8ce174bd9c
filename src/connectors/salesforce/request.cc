#include "connectors/salesforce/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "connectors/common/failure.h"

namespace sluice::connectors::salesforce {
namespace {

using nlohmann::json;

constexpr int kCreated = 201;

// REST API Developer Guide, "Status Codes and Error Responses"; SOAP API Developer Guide,
// "StatusCode": limits of the organisation, and what passes.
constexpr std::array<std::string_view, 9> kPassing = {
    "REQUEST_LIMIT_EXCEEDED", "LIMIT_EXCEEDED",     "CONCURRENT_REQUESTS_LIMIT_EXCEEDED",
    "SERVER_UNAVAILABLE",     "UNABLE_TO_LOCK_ROW", "REQUEST_RUNNING_TOO_LONG",
    "UNKNOWN_EXCEPTION",      "PROCESSING_HALTED",  "PLATFORM_EVENT_PUBLISHING_UNAVAILABLE"};

// Of a subrequest: the event's definition or the user's rights, not the record.
constexpr std::array<std::string_view, 8> kSettings = {"INVALID_FIELD",
                                                       "INVALID_FIELD_FOR_INSERT_UPDATE",
                                                       "NOT_FOUND",
                                                       "INVALID_TYPE",
                                                       "INSUFFICIENT_ACCESS",
                                                       "INSUFFICIENT_ACCESS_OR_READONLY",
                                                       "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                                                       "API_DISABLED_FOR_ORG"};

template <std::size_t Size>
bool is_in(const std::array<std::string_view, Size>& list, std::string_view code) {
  return std::ranges::find(list, code) != list.end();
}

// Errors are a list of {"message", "errorCode"}; the token endpoint's have names of their own.
ServiceError first_error(const json& said) {
  if (!said.is_array() || said.empty()) return {};
  return {text_of(said.front(), "errorCode"), text_of(said.front(), "message")};
}

Decision refused(int status, const ServiceError& error, std::uint32_t record, std::string reason) {
  if (is_in(kPassing, error.code) || status >= 500)
    return RetryLater{std::move(reason), {}, record};
  if (is_in(kSettings, error.code)) return Misconfigured{std::move(reason)};
  return Rejected{std::move(reason), record};
}

}  // namespace

std::string composite_of(const RecordBatch& batch, std::string_view event_url,
                         const std::vector<Field>& own_fields) {
  nlohmann::ordered_json requests = nlohmann::ordered_json::array();
  for (const RecordRun& run : batch.runs) {
    const std::vector<Field>& fields = own_fields.empty() ? fields_of(run.chunk->kind) : own_fields;
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      requests.push_back({{"method", "POST"},
                          {"url", event_url},
                          {"referenceId", fmt::format("r{}", requests.size())},
                          {"body", event_of(fields, run.chunk->record(i))}});
    }
  }
  const nlohmann::ordered_json body = {{"allOrNone", false},
                                       {"compositeRequest", std::move(requests)}};
  return body.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

ServiceError read_error(const egress::HttpResponse& response) {
  return first_error(json::parse(response.body, nullptr, /*allow_exceptions=*/false));
}

SendOutcome classify(ServiceAnswer answer, const RecordBatch& batch) {
  SendOutcome outcome = std::move(answer.outcome);
  if (!std::holds_alternative<Delivered>(outcome.decision)) {
    if (is_in(kPassing, answer.error.code)) {  // 403
      outcome.decision =
          RetryLater{std::string(reason_of(outcome.decision)), answer.retry_after, 0};
    }
    return outcome;
  }
  const json said = json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  const auto answers = said.is_object() ? said.find("compositeResponse") : said.end();
  if (answers == said.end() || !answers->is_array() || answers->size() != batch.records) {
    outcome.decision = RetryLater{"Salesforce's answer does not name each event", {}, 0};
    return outcome;
  }
  for (std::uint32_t i = 0; i < batch.records; ++i) {
    const json& one = (*answers)[i];
    const json status_said = one.is_object() ? one.value("httpStatusCode", json()) : json();
    const int status = status_said.is_number_integer() ? status_said.get<int>() : 0;
    if (status == kCreated) continue;
    const ServiceError error = first_error(one.is_object() ? one.value("body", json()) : json());
    std::string reason = fmt::format("Salesforce answered {} to event {} of {}: {}: {}", status,
                                     i + 1, batch.records, error.code, excerpt(error.message, {}));
    outcome.decision = status == 0 ? RetryLater{std::move(reason), {}, i}
                                   : refused(status, error, i, std::move(reason));
    break;
  }
  return outcome;
}

std::vector<std::string> missing_fields(const std::string& description,
                                        const std::vector<Field>& wanted) {
  const json said = json::parse(description, nullptr, /*allow_exceptions=*/false);
  const json fields = said.is_object() ? said.value("fields", json()) : json();
  std::set<std::string> there;
  for (const json& field : fields.is_array() ? fields : json::array()) {
    const bool may_be_set = field.is_object() && field.value("createable", json()) == true;
    if (may_be_set) there.insert(text_of(field, "name"));
  }
  std::vector<std::string> missing;
  for (const Field& field : wanted) {
    if (!there.contains(field.name)) missing.push_back(field.name);
  }
  return missing;
}

}  // namespace sluice::connectors::salesforce
