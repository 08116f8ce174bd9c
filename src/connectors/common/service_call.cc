#include "connectors/common/service_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "connectors/common/failure.h"
#include "connectors/common/text.h"
#include "connectors/exchange.h"

namespace sluice::connectors {
namespace {

constexpr std::string_view kMasked = "***";

void show_request(const ServiceCall& call, Exchange& exchange) {
  for (const auto& [name, value] : call.request.headers) {
    const bool secret = std::ranges::find(call.secret_headers, name) != call.secret_headers.end();
    show_header(exchange.request_headers, name, secret ? kMasked : value);
  }
  exchange.request_body = call.plain_body.empty() ? shown_body(call.request.body)
                                                  : shown_body(std::vector{call.plain_body});
}

void show_response(const egress::HttpResponse& response, const std::vector<std::string>& secrets,
                   Exchange& exchange) {
  exchange.answered = true;
  for (const auto& [name, value] : response.headers) {
    const bool secret = same_name(name, "Set-Cookie");
    show_header(exchange.response_headers, name, secret ? kMasked : value);
  }
  std::string body = response.body;
  mask(exchange.response_headers, secrets);
  mask(body, secrets);  // before it is cut: no half of a secret is left
  exchange.response_body = shown_body(std::move(body));
}

std::string describe(const ServiceCall& call, const egress::HttpResponse& response,
                     const ServiceError& error) {
  std::string reason = fmt::format("{}: {}", call.name, response.status);
  if (!error.code.empty()) reason += " " + excerpt(error.code, call.secrets);
  const bool unread = error.code.empty() && error.message.empty();
  const std::string said = excerpt(unread ? response.body : error.message, call.secrets);
  if (said.find_first_not_of(' ') != said.npos) reason += ": " + said;
  return reason;
}

}  // namespace

Decision by_status(int status, std::string reason,
                   std::optional<std::chrono::milliseconds> retry_after) {
  if (status >= 200 && status < 300) return Delivered{};
  if (status == 408 || status == 425 || status == 429 || status >= 500) {
    return RetryLater{std::move(reason), retry_after, 0};
  }
  if (status == 400 || status == 413 || status == 422) return Rejected{std::move(reason)};
  if (status == 410) return Gone{std::move(reason)};
  return Misconfigured{std::move(reason)};
}

Awaitable<ServiceAnswer> perform(egress::HttpClient& http, ServiceCall call, Deadline deadline) {
  std::ranges::sort(call.secrets, std::ranges::greater{}, &std::string::size);
  auto exchange = std::make_shared<Exchange>();
  show_request(call, *exchange);
  Fault fault = Fault::Destination;
  Result<egress::HttpResponse> response =
      co_await http.perform(std::move(call.request), deadline, &fault);
  ServiceAnswer answer;
  if (!response.has_value()) {
    answer.outcome = failed(response.error(), fault, call.name);
  } else {
    show_response(*response, call.secrets, *exchange);
    const int status = response->status;
    const bool good = status >= 200 && status < 300;
    if (!good && call.read_error != nullptr) answer.error = call.read_error(*response);
    std::string reason = good ? "" : describe(call, *response, answer.error);
    answer.outcome = {by_status(status, std::move(reason), response->retry_after), status, true};
    answer.retry_after = response->retry_after;
    answer.body = std::move(response->body);
  }
  answer.outcome.exchange = std::move(exchange);
  co_return answer;
}

void add_json_headers(egress::HttpRequest& request) {
  request.headers.emplace_back("Content-Type", "application/json");
  request.headers.emplace_back("User-Agent", "Sluice/" SLUICE_VERSION);
}

std::string text_of(const nlohmann::json& object, std::string_view name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Result<void> as_check(const SendOutcome& outcome) {
  if (std::holds_alternative<Delivered>(outcome.decision)) return {};
  return Error{ErrorCode::Unavailable, std::string(reason_of(outcome.decision))};
}

}  // namespace sluice::connectors
