#include "connectors/common/oauth_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "connectors/common/failure.h"
#include "connectors/common/service_call.h"
#include "connectors/common/text.h"

namespace sluice::connectors {
namespace {

using nlohmann::json;
using std::chrono::seconds;

constexpr seconds kLifeMax{3600};  // where the endpoint says nothing, or a lot
constexpr seconds kMarginMax{30};  // a token is not used in its last moments
constexpr std::size_t kErrorBytesMax = 100;

// The `error` of the answer: a word of RFC 6749, 5.2. "" when there is none such.
std::string error_word(const json& answer) {
  const auto found = answer.is_object() ? answer.find("error") : answer.end();
  if (found == answer.end() || !found->is_string()) return "";
  std::string word = found->get<std::string>().substr(0, kErrorBytesMax);
  const bool plain =
      std::ranges::all_of(word, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  return plain ? word : "";
}

}  // namespace

TokenRequest token_request(ClientCredentials credentials) {
  std::string form = "grant_type=client_credentials";
  if (!credentials.scope.empty()) form += "&scope=" + percent_encoded(credentials.scope);
  return {.url = std::move(credentials.token_url),
          .form = [form](WallTime) { return form; },
          .client_id = std::move(credentials.client_id),
          .client_secret = std::move(credentials.client_secret),
          .remedy = "look at destination.auth"};
}

OauthTokens::OauthTokens(TokenRequest request, OrganisationId organisation,
                         std::shared_ptr<egress::TlsContext> tls, egress::HttpClient& http,
                         const Clock& clock)
    : request_(std::move(request)),
      shown_url_(request_.url.substr(0, request_.url.find_first_of("?#"))),
      organisation_(organisation),
      tls_(std::move(tls)),
      http_(http),
      clock_(clock),
      style_(request_.in_form ? Style::Body : Style::Header) {}

egress::HttpRequest OauthTokens::request() const {
  egress::HttpRequest request;
  request.organisation = organisation_;
  request.url = request_.url;
  request.tls = tls_;
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"},
                     {"Accept", "application/json"},
                     {"User-Agent", "Sluice/" SLUICE_VERSION}};
  if (style_ == Style::Header && !request_.client_id.empty()) {
    request.headers.emplace_back("Authorization",
                                 "Basic " + base64(percent_encoded(request_.client_id) + ":" +
                                                   percent_encoded(request_.client_secret)));
  }
  return request;
}

Awaitable<std::variant<std::string, SendOutcome>> OauthTokens::get(Deadline deadline) {
  if (!token_.empty() && clock_.steady() < until_) co_return token_;
  const std::string form = request_.form(clock_.now());
  const std::string with_credentials =
      fmt::format("{}&client_id={}&client_secret={}", form, percent_encoded(request_.client_id),
                  percent_encoded(request_.client_secret));
  const bool one_style = request_.in_form || request_.client_id.empty();
  // Once more in the other style, where the first is refused.
  for (bool last = one_style;; last = true) {
    egress::HttpRequest request = this->request();
    request.body = {style_ == Style::Header ? form : with_credentials};
    Fault fault = Fault::Destination;
    const Result<egress::HttpResponse> response =
        co_await http_.perform(std::move(request), deadline, &fault);
    if (!response.has_value()) {
      co_return failed(response.error(), fault, fmt::format("POST {}", shown_url_));
    }
    const bool style_refused = response->status == 400 || response->status == 401;
    if (!style_refused || last) co_return take(*response);
    style_ = style_ == Style::Header ? Style::Body : Style::Header;
  }
}

std::variant<std::string, SendOutcome> OauthTokens::take(const egress::HttpResponse& response) {
  if (response.status != 200) return refused(response);
  const json answer = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  std::string type = text_of(answer, "token_type");
  std::ranges::transform(type, type.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  token_ = text_of(answer, "access_token");
  if (token_.empty() || !is_visible_ascii(token_) || type != "bearer") {
    token_.clear();
    return SendOutcome{
        Misconfigured{
            fmt::format("the token endpoint {} answered 200 without a bearer token", shown_url_)},
        500, false};
  }
  seconds life = kLifeMax;
  if (const auto found = answer.find("expires_in"); found != answer.end() && found->is_number()) {
    life =
        std::clamp(seconds(static_cast<std::int64_t>(std::clamp(found->get<double>(), 0.0, 1e6))),
                   seconds(0), kLifeMax);
  }
  answer_ = response.body;
  until_ = clock_.steady() + life - std::min(kMarginMax, life / 10);
  return token_;
}

SendOutcome OauthTokens::refused(const egress::HttpResponse& response) const {
  const int s = response.status;
  std::string reason = fmt::format("the token endpoint {} answered {}", shown_url_, s);
  const std::string word =
      error_word(json::parse(response.body, nullptr, /*allow_exceptions=*/false));
  if (!word.empty()) reason += ": " + word;
  if (s == 408 || s == 425 || s == 429 || s >= 500) {
    return {RetryLater{reason, response.retry_after, 0}, 502, false};
  }
  return {Misconfigured{fmt::format("{} ({})", reason, request_.remedy)}, 500, false};
}

}  // namespace sluice::connectors
