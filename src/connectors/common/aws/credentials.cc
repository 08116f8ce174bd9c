#include "connectors/common/aws/credentials.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <pugixml.hpp>

#include "connectors/common/aws/endpoint.h"
#include "connectors/common/aws/error.h"
#include "connectors/common/failure.h"
#include "connectors/common/id_token.h"
#include "connectors/common/settings.h"
#include "connectors/common/text.h"
#include "signing/body_digest.h"

namespace sluice::connectors::aws {
namespace {

using std::chrono::seconds;

// What a role allows at least, and the most where one role assumes another (AWS STS API
// Reference, AssumeRole, DurationSeconds).
constexpr seconds kLife{3600};
constexpr seconds kMarginMax{300};  // a session is renewed before its last moments
// What AWS's own tools make of an ID token's audience where nobody names another.
constexpr const char* kAudience = "sts.amazonaws.com";

// "2026-11-22T10:00:00Z", with or without a fraction.
std::optional<std::int64_t> seconds_of(const std::string& time) {
  std::tm parts{};
  const char* rest = ::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return std::nullopt;
  return ::timegm(&parts);
}

// "" where the operator's keys assume the role. InvalidArgument: nothing that an ID token can say.
Result<std::string> read_audience(const nlohmann::json& credentials) {
  const bool by_token = credentials.value("auth", "") == "oidc";
  if (!by_token && credentials.contains("audience")) {
    return wrong_setting("audience", "goes with auth oidc");
  }
  if (!by_token) return std::string();
  std::string audience = credentials.value("audience", kAudience);
  if (audience.empty() || !is_visible_ascii(audience)) {
    return wrong_setting("audience", "must be visible ASCII characters without blanks");
  }
  return audience;
}

}  // namespace

Result<Access> read_access(const nlohmann::json& credentials) {
  Access access{.keys = {.access_key_id = credentials.value("access_key_id", ""),
                         .secret_access_key = credentials.value("secret_access_key", ""),
                         .session_token = ""},
                .role_arn = credentials.value("role_arn", ""),
                .audience = ""};
  const bool id = !access.keys.access_key_id.empty();
  const bool secret = !access.keys.secret_access_key.empty();
  if (id != secret) {
    return wrong_setting(id ? "secret_access_key" : "access_key_id",
                         "is required: access_key_id and secret_access_key go together");
  }
  const bool role = !access.role_arn.empty();
  if (role && id) return wrong_setting("role_arn", "give either this or access_key_id");
  if (!role && !id) {
    return wrong_setting("role_arn", "is required, or access_key_id and secret_access_key instead");
  }
  if (!role && credentials.contains("auth")) {
    return wrong_setting("auth", "goes with role_arn, not with an access key");
  }
  Result<std::string> audience = read_audience(credentials);
  if (!audience.has_value()) return audience.error();
  access.audience = *std::move(audience);
  return access;
}

Credentials::Credentials(Options options, const ConnectorContext& context)
    : options_(std::move(options)),
      operator_(context.aws),
      issuer_(context.issuer),
      http_(context.http),
      clock_(context.clock),
      url_(endpoint_url("sts", options_.region,
                        operator_ == nullptr ? "" : operator_->sts_endpoint_url)),
      action_(by_token() ? "AssumeRoleWithWebIdentity" : "AssumeRole") {}

Result<std::string> Credentials::prove() const {
  if (by_token()) {
    return id_token(issuer_, options_.organisation, options_.access.audience, clock_.now());
  }
  if (operator_ != nullptr && !operator_->keys.access_key_id.empty()) {
    return operator_->keys.secret_access_key;
  }
  return Error{ErrorCode::InvalidArgument,
               "this server has no AWS keys of its own to assume a role with: its operator must "
               "set aws.access_key_id, or give the stream access_key_id and secret_access_key "
               "instead of role_arn"};
}

std::string Credentials::form(const std::string& proof) const {
  const std::string who = by_token()
                              ? "WebIdentityToken=" + percent_encoded(proof)
                              : fmt::format("ExternalId=org-{}", options_.organisation.value());
  return fmt::format(
      "Action={}&Version=2011-06-15&RoleArn={}&RoleSessionName=sluice-{}&{}&DurationSeconds={}",
      action_, percent_encoded(options_.access.role_arn), options_.stream.value(), who,
      kLife.count());
}

egress::HttpRequest Credentials::request(const std::string& form) const {
  egress::HttpRequest request;
  request.organisation = options_.organisation;
  request.url = url_ + "/";
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
  request.body = {form};
  if (!by_token()) {
    const std::string hash = signing::hex_digest(signing::Digest::Sha256, request.body);
    sign(request, operator_->keys, {options_.region, "sts"}, clock_.now(), hash);
  }
  request.headers.emplace_back("User-Agent", "Sluice/" SLUICE_VERSION);
  return request;
}

Awaitable<std::variant<Keys, SendOutcome>> Credentials::get(Deadline deadline) {
  if (!renewable()) co_return options_.access.keys;
  if (!session_.access_key_id.empty() && clock_.steady() < until_) co_return session_;
  const Result<std::string> proof = prove();
  if (!proof.has_value()) {
    co_return SendOutcome{Misconfigured{proof.error().message}, 500, false, Fault::Us};
  }
  const std::string body = form(*proof);
  Fault fault = Fault::Destination;
  const Result<egress::HttpResponse> response =
      co_await http_.perform(request(body), deadline, &fault);
  if (!response.has_value()) {
    co_return failed(response.error(), fault, fmt::format("{} at {}", action_, url_));
  }
  co_return take(*response, *proof);
}

std::variant<Keys, SendOutcome> Credentials::take(const egress::HttpResponse& response,
                                                  const std::string& proof) {
  const std::string asked = fmt::format("{} {}", action_, options_.access.role_arn);
  if (response.status != 200) {
    const ServiceError error = read_error(response);
    std::string reason = fmt::format("{}: {} {}: {}", asked, response.status, error.code,
                                     excerpt(error.message, {proof}));
    if (by_token() && is_expired(error)) {  // the token is of this moment
      reason += " (this server's clock is wrong)";
      return SendOutcome{RetryLater{std::move(reason), response.retry_after, 0}, response.status,
                         false, Fault::Us};
    }
    SendOutcome outcome = refused(response.status, error, response.retry_after, std::move(reason));
    outcome.answered = false;  // it was not the destination
    return outcome;
  }
  pugi::xml_document document;
  document.load_buffer(response.body.data(), response.body.size());
  // <AssumeRoleResponse><AssumeRoleResult>, <AssumeRoleWithWebIdentityResponse>...
  const pugi::xml_node found = document.first_child()
                                   .find_child([](const pugi::xml_node& node) {
                                     return std::string_view(node.name()).ends_with("Result");
                                   })
                                   .child("Credentials");
  session_ = {found.child_value("AccessKeyId"), found.child_value("SecretAccessKey"),
              found.child_value("SessionToken")};
  if (session_.access_key_id.empty() || session_.secret_access_key.empty() ||
      session_.session_token.empty()) {
    forget();
    return SendOutcome{RetryLater{asked + ": the answer holds no keys", {}, 0}, 502, false};
  }
  seconds life = kLife;
  if (const auto end = seconds_of(found.child_value("Expiration"))) {
    life = std::clamp(seconds(*end - clock_.now().ms / 1000), seconds(0), kLife);
  }
  until_ = clock_.steady() + life - std::min(kMarginMax, life / 10);
  return session_;
}

}  // namespace sluice::connectors::aws
