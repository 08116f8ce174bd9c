#include "connectors/common/aws/client.h"

#include <fmt/format.h>

#include "base/units.h"
#include "connectors/common/failure.h"
#include "connectors/exchange.h"
#include "egress/http_client.h"
#include "signing/body_digest.h"

namespace sluice::connectors::aws {
namespace {

// An answer names each of up to 500 records.
constexpr std::size_t kAnswerBytesMax = 512 * kKiB;
constexpr std::string_view kMasked = "***";
constexpr std::pair kUserAgent{"User-Agent", "Sluice/" SLUICE_VERSION};

void show_request(const egress::HttpRequest& request, Exchange& exchange) {
  for (const auto& [name, value] : request.headers) {
    const bool secret = name == "Authorization" || name == "X-Amz-Security-Token";
    show_header(exchange.request_headers, name, secret ? kMasked : value);
  }
  exchange.request_body = shown_body(request.body);
}

void show_response(const egress::HttpResponse& response, const std::vector<std::string>& secrets,
                   Exchange& exchange) {
  exchange.answered = true;
  for (const auto& [name, value] : response.headers) {
    show_header(exchange.response_headers, name, value);
  }
  std::string body = response.body;
  mask(exchange.response_headers, secrets);
  mask(body, secrets);
  exchange.response_body = shown_body(std::move(body));
}

}  // namespace

Client::Client(Options options, const ConnectorContext& context)
    : options_(std::move(options)),
      credentials_(options_.credentials, context),
      http_(context.http),
      clock_(context.clock) {}

Awaitable<Answer> Client::perform(Call call, Deadline deadline) {
  if (call.body_sha256.empty()) {
    call.body_sha256 = signing::hex_digest(signing::Digest::Sha256, call.body);
  }
  for (bool last = false;; last = true) {
    std::variant<Keys, SendOutcome> keys = co_await credentials_.get(deadline);
    if (auto* none = std::get_if<SendOutcome>(&keys)) co_return Answer{std::move(*none), {}, {}};
    Answer answer = co_await perform_as(std::get<Keys>(std::move(keys)), call, deadline);
    if (!is_expired(answer.error) || !credentials_.renewable()) co_return answer;
    credentials_.forget();
    if (last) co_return answer;
  }
}

Awaitable<Answer> Client::perform_json(std::string url, std::string_view target,
                                       std::vector<std::string_view> body, Deadline deadline,
                                       std::string_view json_version) {
  Call call;
  call.url = std::move(url);
  call.headers = {{"Content-Type", fmt::format("application/x-amz-json-{}", json_version)},
                  {"X-Amz-Target", std::string(target)}};
  call.body = std::move(body);
  call.name = target.substr(target.find('.') + 1);
  co_return co_await perform(std::move(call), deadline);
}

Awaitable<Answer> Client::perform_as(Keys keys, const Call& call, Deadline deadline) {
  egress::HttpRequest request;
  request.organisation = options_.credentials.organisation;
  request.method = call.method;
  request.url = call.url;
  request.headers = call.headers;
  request.body = call.body;
  request.answer_bytes_max = kAnswerBytesMax;
  sign(request, keys, {options_.credentials.region, options_.service}, clock_.now(),
       call.body_sha256);
  request.headers.emplace_back(kUserAgent.first,
                               kUserAgent.second);  // not signed: proxies change it

  auto exchange = std::make_shared<Exchange>();
  show_request(request, *exchange);
  Fault fault = Fault::Destination;
  Result<egress::HttpResponse> response =
      co_await http_.perform(std::move(request), deadline, &fault);
  const std::string asked =
      fmt::format("{} at {}", call.name, call.url.substr(0, call.url.find('?')));
  Answer answer;
  if (!response.has_value()) {
    answer.outcome = failed(response.error(), fault, asked);
  } else if (response->status >= 200 && response->status < 300) {
    answer.outcome = {Delivered{}, response->status, true};
  } else {
    answer.error = read_error(*response);
    std::string reason = fmt::format("{}: {}", asked, response->status);
    if (!answer.error.code.empty()) reason += " " + answer.error.code;
    const std::string said =
        excerpt(answer.error.code.empty() ? response->body : answer.error.message,
                {keys.session_token, keys.secret_access_key});
    if (!said.empty()) reason += ": " + said;
    answer.outcome =
        refused(response->status, answer.error, response->retry_after, std::move(reason));
  }
  if (response.has_value()) {
    show_response(*response, {keys.session_token, keys.secret_access_key}, *exchange);
    answer.body = std::move(response->body);
  }
  answer.outcome.exchange = std::move(exchange);
  co_return answer;
}

Result<void> as_check(const SendOutcome& outcome) {
  if (std::holds_alternative<Delivered>(outcome.decision)) return {};
  return Error{ErrorCode::Unavailable, std::string(reason_of(outcome.decision))};
}

}  // namespace sluice::connectors::aws
