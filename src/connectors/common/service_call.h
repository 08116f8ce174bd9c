#pragma once
// A request to a service that speaks HTTP, and what became of it. What the attempts log and the
// errors show of it holds no secret.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/awaitable.h"
#include "base/units.h"
#include "connectors/connector.h"
#include "egress/http_client.h"

namespace sluice::connectors {

struct ServiceError {
  std::string code;     // "AccessDenied"; "" = the answer names none
  std::string message;  // the service's own words
};

struct ServiceCall {
  egress::HttpRequest request;
  std::string name;                  // for a person: "PutRecords at https://..."
  std::vector<std::string> secrets;  // that an answer might repeat
  // Headers that are secrets themselves.
  std::vector<std::string_view> secret_headers = {"Authorization"};
  // To be shown in place of one that is compressed, or made while it is sent.
  std::string_view plain_body = {};
  // Of an answer other than 2xx. Null: such answers are shown as they are.
  ServiceError (*read_error)(const egress::HttpResponse& response) = nullptr;
};

struct ServiceAnswer {
  // Delivered for a 2xx, whatever its body says; else by the status alone (by_status()), or what it
  // means that no answer came.
  SendOutcome outcome;
  ServiceError error;  // of an answer other than 2xx
  std::string body;
  std::optional<std::chrono::milliseconds> retry_after = {};
};

Awaitable<ServiceAnswer> perform(egress::HttpClient& http, ServiceCall call, Deadline deadline);

// What every destination's status means (delivered, retry, misconfigured, gone, rejected), where
// its service says no more than that.
Decision by_status(int status, std::string reason,
                   std::optional<std::chrono::milliseconds> retry_after);

// Adds what says that it is Sluice that sends JSON.
void add_json_headers(egress::HttpRequest& request);

// The member of that name, where it is a string; else "".
std::string text_of(const nlohmann::json& object, std::string_view name);

// For Connector::check().
Result<void> as_check(const SendOutcome& outcome);

}  // namespace sluice::connectors
