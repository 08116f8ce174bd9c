#include "connectors/common/oauth_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "connectors/common/failure.h"

namespace sluice::connectors {
namespace {

using nlohmann::json;
using std::chrono::seconds;

constexpr seconds kLifeMax{3600};  // where the endpoint says nothing, or a lot
constexpr seconds kMarginMax{30};  // a token is not used in its last moments
constexpr std::size_t kErrorBytesMax = 100;

// As a form wants it (RFC 6749, appendix B).
std::string form_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

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

OauthTokens::OauthTokens(ClientCredentials credentials, OrganisationId organisation,
                         std::shared_ptr<egress::TlsContext> tls, egress::HttpClient& http,
                         const Clock& clock)
    : credentials_(std::move(credentials)),
      shown_url_(credentials_.token_url.substr(0, credentials_.token_url.find_first_of("?#"))),
      organisation_(organisation),
      tls_(std::move(tls)),
      http_(http),
      clock_(clock) {}

egress::HttpRequest OauthTokens::request(Style style) const {
  egress::HttpRequest request;
  request.organisation = organisation_;
  request.url = credentials_.token_url;
  request.tls = tls_;
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"},
                     {"Accept", "application/json"},
                     {"User-Agent", "Sluice/" SLUICE_VERSION}};
  if (style == Style::Header) {
    request.headers.emplace_back("Authorization",
                                 "Basic " + base64(form_encoded(credentials_.client_id) + ":" +
                                                   form_encoded(credentials_.client_secret)));
  }
  return request;
}

Awaitable<std::variant<std::string, SendOutcome>> OauthTokens::get(Deadline deadline) {
  if (!token_.empty() && clock_.steady() < until_) co_return token_;
  std::string form = "grant_type=client_credentials";
  if (!credentials_.scope.empty()) form += "&scope=" + form_encoded(credentials_.scope);
  const std::string with_credentials =
      fmt::format("{}&client_id={}&client_secret={}", form, form_encoded(credentials_.client_id),
                  form_encoded(credentials_.client_secret));
  // Once more in the other style, where the first is refused.
  for (bool last = false;; last = true) {
    egress::HttpRequest request = this->request(style_);
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
  const auto text = [&answer](const char* name) {
    const auto found = answer.is_object() ? answer.find(name) : answer.end();
    return found != answer.end() && found->is_string() ? found->get<std::string>() : "";
  };
  std::string type = text("token_type");
  std::ranges::transform(type, type.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  token_ = text("access_token");
  const bool visible = std::ranges::all_of(token_, [](char c) { return c > ' ' && c < '\x7f'; });
  if (token_.empty() || !visible || type != "bearer") {
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
  return {Misconfigured{reason + " (look at destination.auth)"}, 500, false};
}

}  // namespace sluice::connectors
