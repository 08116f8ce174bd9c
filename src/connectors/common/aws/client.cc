#include "connectors/common/aws/client.h"

#include <fmt/format.h>

#include "base/units.h"
#include "egress/http_client.h"
#include "signing/body_digest.h"

namespace sluice::connectors::aws {
namespace {

// An answer names each of up to 500 records.
constexpr std::size_t kAnswerBytesMax = 512 * kKiB;

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
                                       std::string_view body, Deadline deadline,
                                       std::string_view json_version) {
  Call call;
  call.url = std::move(url);
  call.headers = {{"Content-Type", fmt::format("application/x-amz-json-{}", json_version)},
                  {"X-Amz-Target", std::string(target)}};
  call.body = {body};
  call.name = target.substr(target.find('.') + 1);
  co_return co_await perform(std::move(call), deadline);
}

Awaitable<Answer> Client::perform_as(Keys keys, const Call& call, Deadline deadline) {
  ServiceCall signed_call;
  egress::HttpRequest& request = signed_call.request;
  request.organisation = options_.credentials.organisation;
  request.method = call.method;
  request.url = call.url;
  request.headers = call.headers;
  request.body = call.body;
  request.body_source = call.body_source;
  request.body_source_bytes = call.body_source_bytes;
  signed_call.plain_body = call.plain_body;
  request.answer_bytes_max = kAnswerBytesMax;
  sign(request, keys, {options_.credentials.region, options_.service}, clock_.now(),
       call.body_sha256);
  // Not signed: proxies change it.
  request.headers.emplace_back("User-Agent", "Sluice/" SLUICE_VERSION);
  signed_call.name = fmt::format("{} at {}", call.name, call.url.substr(0, call.url.find('?')));
  signed_call.secrets = {keys.session_token, keys.secret_access_key};
  signed_call.secret_headers = {"Authorization", "X-Amz-Security-Token"};
  signed_call.read_error = &read_error;
  Answer answer = co_await connectors::perform(http_, std::move(signed_call), deadline);
  SendOutcome& outcome = answer.outcome;
  if (!outcome.answered || std::holds_alternative<Delivered>(outcome.decision)) co_return answer;
  SendOutcome decided = refused(outcome.remote_status, answer.error, answer.retry_after,
                                std::string(reason_of(outcome.decision)));
  decided.exchange = std::move(outcome.exchange);
  outcome = std::move(decided);
  co_return answer;
}

}  // namespace sluice::connectors::aws
