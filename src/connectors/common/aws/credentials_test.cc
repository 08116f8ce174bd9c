#include "connectors/common/aws/credentials.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/base64.h"
#include "egress/http_client.h"
#include "egress/testing/run.h"
#include "egress/testing/test_server.h"
#include "signing/issuer.h"

namespace sluice::connectors::aws {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using egress::testing::Peer;
using egress::testing::TestServer;

// How operators' keys assume roles is shown in kinesis_test.cc.

// ---- settings

TEST(Access, ByATokenNamesItsAudience) {
  const auto of = [](const json& credentials) {
    const Result<Access> access = read_access(credentials);
    return access.has_value() ? access->role_arn + " " + access->audience : access.error().message;
  };
  const json keys = {{"access_key_id", "a"}, {"secret_access_key", "b"}};
  const auto with = [](json base, const json& more) {
    base.update(more);
    return base;
  };
  EXPECT_EQ(of({{"role_arn", "r"}}), "r ");
  EXPECT_EQ(of({{"role_arn", "r"}, {"auth", "role"}}), "r ");
  EXPECT_EQ(of({{"role_arn", "r"}, {"auth", "oidc"}}), "r sts.amazonaws.com");
  EXPECT_EQ(of({{"role_arn", "r"}, {"auth", "oidc"}, {"audience", "x"}}), "r x");
  EXPECT_EQ(of({{"auth", "oidc"}}),
            "destination.credentials.role_arn: is required, or access_key_id and secret_access_key "
            "instead");
  EXPECT_EQ(of(with(keys, {{"auth", "oidc"}})),
            "destination.credentials.auth: goes with role_arn, not with an access key");
  constexpr const char* kAlone = "destination.credentials.audience: goes with auth oidc";
  EXPECT_EQ(of({{"role_arn", "r"}, {"audience", "x"}}), kAlone);
  EXPECT_EQ(of(with(keys, {{"audience", "x"}})), kAlone);
  for (const char* audience : {"", "a b", "a\n", "\xc3\xa9"}) {
    EXPECT_EQ(of({{"role_arn", "r"}, {"auth", "oidc"}, {"audience", audience}}),
              "destination.credentials.audience: must be visible ASCII characters without blanks");
  }
}

// ---- against a server

std::string answer(std::string_view expiration = "2099-01-01T00:00:00Z") {
  return fmt::format(
      "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
      "<AssumeRoleWithWebIdentityResult><Audience>sts.amazonaws.com</Audience>"
      "<AssumedRoleUser><AssumedRoleId>i</AssumedRoleId></AssumedRoleUser>"
      "<Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
      "<SessionToken>t</SessionToken><Expiration>{}</Expiration></Credentials>"
      "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
      expiration);
}

std::string refusal(std::string_view code, std::string_view message) {
  return fmt::format(
      "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error>"
      "</ErrorResponse>",
      code, message);
}

class WebIdentity : public ::testing::Test {
 protected:
  WebIdentity() {
    egress::Settings settings;
    settings.allow = {"127.0.0.0/8"};
    http_ = std::make_unique<egress::HttpClient>(loop_, clock_, settings);
    issuer_.set_public_url("https://sluice.example");
    operator_.sts_endpoint_url = fmt::format("http://127.0.0.1:{}", server_.port());
  }

  Credentials credentials(const signing::Issuer* issuer) {
    return {{.access = {.keys = {}, .role_arn = "arn:aws:iam::1:role/r", .audience = "ours"},
             .region = "eu-west-1",
             .organisation = OrganisationId{399921},
             .stream = StreamId{7}},
            {*http_, clock_, "node-a", nullptr, issuer, &operator_}};
  }
  std::variant<Keys, SendOutcome> get(Credentials& credentials) {
    return egress::testing::run(loop_, credentials.get(clock_.steady() + 10s));
  }
  void says(int status, std::string body) {
    const std::lock_guard lock(mutex_);
    status_ = status;
    body_ = std::move(body);
  }
  // What came last, and how many.
  std::string head() {
    const std::lock_guard lock(mutex_);
    return asked_.empty() ? "" : asked_.back().first;
  }
  std::string form() {
    const std::lock_guard lock(mutex_);
    return asked_.empty() ? "" : asked_.back().second;
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return asked_.size();
  }

  boost::asio::io_context loop_{1};
  SystemClock clock_;
  std::unique_ptr<egress::HttpClient> http_;
  signing::Issuer issuer_ = *signing::Issuer::from_pem(signing::Issuer::generate());
  Operator operator_;  // without keys
  std::mutex mutex_;
  int status_ = 200;
  std::string body_ = answer();
  std::vector<std::pair<std::string, std::string>> asked_;
  const TestServer server_{[this](Peer& peer) {
    while (const auto request = peer.read_request()) {
      const std::lock_guard lock(mutex_);
      asked_.emplace_back(request->head, request->body);
      std::string body = body_;
      if (const auto echo = body.find("ECHO"); echo != body.npos) {
        const std::size_t begin = request->body.find("Token=") + 6;
        body.replace(echo, 4, request->body.substr(begin, request->body.find('&', begin) - begin));
      }
      peer.answer(status_, "", body);
    }
  }};
};

TEST_F(WebIdentity, AnIdTokenAssumesTheRoleWithoutAnyKey) {
  Credentials ours = credentials(&issuer_);
  const auto keys = get(ours);
  ASSERT_TRUE(std::holds_alternative<Keys>(keys));
  EXPECT_EQ(std::get<Keys>(keys).access_key_id, "ASIA1");
  EXPECT_EQ(std::get<Keys>(keys).session_token, "t");
  EXPECT_EQ(head().find("Authorization"), std::string::npos) << head();
  const std::string asked = form();
  constexpr std::string_view kBefore =
      "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2F"
      "r&RoleSessionName=sluice-7&WebIdentityToken=";
  ASSERT_TRUE(asked.starts_with(kBefore)) << asked;
  const std::string token = asked.substr(kBefore.size(), asked.rfind('&') - kBefore.size());
  EXPECT_EQ(asked.substr(kBefore.size() + token.size()), "&DurationSeconds=3600");
  const std::size_t dot = token.find('.');
  const std::optional<std::string> text =
      from_base64url(token.substr(dot + 1, token.rfind('.') - dot - 1));
  ASSERT_TRUE(text.has_value()) << token;
  const json claims = json::parse(*text);
  EXPECT_EQ(claims.at("iss"), "https://sluice.example/data-connector");
  EXPECT_EQ(claims.at("sub"), "399921");
  EXPECT_EQ(claims.at("aud"), "ours");
  EXPECT_EQ(claims.at("exp").get<std::int64_t>() - claims.at("iat").get<std::int64_t>(), 300);
  EXPECT_LT(std::abs(claims.at("iat").get<std::int64_t>() - clock_.now().ms / 1000), 60);
}

TEST_F(WebIdentity, ASessionIsKeptAndRenewedBeforeItEnds) {
  Credentials ours = credentials(&issuer_);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::holds_alternative<Keys>(get(ours)));
  EXPECT_EQ(count(), 1u);
  ours.forget();
  says(200, answer("2001-01-01T00:00:00Z"));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(std::holds_alternative<Keys>(get(ours)));
  EXPECT_EQ(count(), 3u);
}

TEST_F(WebIdentity, ARefusalSpeaksAwsOwnWordsWithoutTheToken) {
  Credentials ours = credentials(&issuer_);
  const auto outcome = [&](const char* code, const std::string& message = "why") {
    says(400, refusal(code, message));
    return std::get<SendOutcome>(get(ours));
  };
  const SendOutcome refused = outcome("InvalidIdentityToken", "Incorrect token audience");
  ASSERT_TRUE(std::holds_alternative<Misconfigured>(refused.decision));
  EXPECT_EQ(reason_of(refused.decision),
            "AssumeRoleWithWebIdentity arn:aws:iam::1:role/r: 400 InvalidIdentityToken: Incorrect "
            "token audience");
  EXPECT_FALSE(refused.answered);
  EXPECT_TRUE(reason_of(outcome("InvalidIdentityToken", "no: ECHO").decision).ends_with("no: ***"));
  EXPECT_TRUE(std::holds_alternative<RetryLater>(outcome("IDPCommunicationError").decision));
  const SendOutcome late = outcome("ExpiredTokenException");
  EXPECT_TRUE(std::holds_alternative<RetryLater>(late.decision));
  EXPECT_EQ(late.fault, Fault::Us);
  EXPECT_NE(reason_of(late.decision).find("clock"), std::string::npos);
}

TEST_F(WebIdentity, AnIssuerThatNobodyCanReachAsksNothing) {
  signing::Issuer local = issuer_;
  local.set_public_url("http://127.0.0.1:8080");
  for (const signing::Issuer* issuer : {static_cast<const signing::Issuer*>(&local),
                                        static_cast<const signing::Issuer*>(nullptr)}) {
    Credentials ours = credentials(issuer);
    const auto outcome = std::get<SendOutcome>(get(ours));
    ASSERT_TRUE(std::holds_alternative<Misconfigured>(outcome.decision));
    EXPECT_NE(reason_of(outcome.decision).find("server.public_url"), std::string::npos);
    EXPECT_EQ(outcome.fault, Fault::Us);
  }
  EXPECT_EQ(count(), 0u);
}

}  // namespace
}  // namespace sluice::connectors::aws
