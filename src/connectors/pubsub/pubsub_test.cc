#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "connectors/common/test_keys.h"
#include "connectors/connector.h"
#include "connectors/pubsub/config.h"
#include "connectors/pubsub/request.h"

namespace sluice::connectors::pubsub {
namespace {

using nlohmann::json;

json account() {
  return {{"type", "service_account"},
          {"client_email", "sluice@p.iam.gserviceaccount.com"},
          {"private_key_id", "key-1"},
          {"private_key", testing::rsa_key_pem()},
          {"token_uri", "https://oauth2.example/token"}};
}

json credentials_with(const json& service_account) {
  return {{"cps_project", "p"}, {"cps_topic", "t"}, {"service_account", service_account.dump()}};
}

TEST(PubSubConfig, ReadsTheKeyFile) {
  const Result<Config> config = read_config(credentials_with(account()));
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->topic_url, "https://pubsub.googleapis.com/v1/projects/p/topics/t");
  EXPECT_EQ(config->account->email, "sluice@p.iam.gserviceaccount.com");
  EXPECT_FALSE(read_config({{"cps_project", "p"}, {"cps_topic", "t"}})->account);
  EXPECT_EQ(read_config({{"cps_project", "p"}, {"cps_topic", "t"}, {"endpoint_url", "http://a:1/"}})
                ->topic_url,
            "http://a:1/v1/projects/p/topics/t");
}

TEST(PubSubConfig, NamesWhatIsWrongInTheKeyFile) {
  const auto fault = [](const char* member, const json& value) {
    json changed = account();
    changed[member] = value;
    const Result<void> valid = find_connector("PubSub")->validate(credentials_with(changed));
    return valid.has_value() ? "valid" : valid.error().message;
  };
  const std::string path = "destination.credentials.service_account: ";
  EXPECT_EQ(fault("project_id", "p"), "valid");
  EXPECT_EQ(fault("type", "authorized_user"),
            path + "must be the JSON key file of a service account");
  EXPECT_EQ(fault("client_email", json()), path + "has no client_email");
  EXPECT_EQ(fault("private_key", "-----BEGIN"),
            path + "private_key is not a private RSA key of at least 2,048 bits");
  EXPECT_EQ(fault("token_uri", "ftp://a"),
            path + "token_uri: the URL must begin with http:// or https://");
}

TEST(PubSubConfig, AsksForATokenByASignedAssertion) {
  const Result<Config> config = read_config(credentials_with(account()));
  const std::string form = token_form(*config->account, WallTime{1'000'000});
  constexpr std::string_view kBegin =
      "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
  ASSERT_TRUE(form.starts_with(kBegin));
  const std::string jwt = form.substr(kBegin.size());
  const std::size_t dot = jwt.find('.');
  EXPECT_EQ(from_base64url(jwt.substr(0, dot)), R"({"alg":"RS256","typ":"JWT","kid":"key-1"})");
  EXPECT_EQ(from_base64url(jwt.substr(dot + 1, jwt.rfind('.') - dot - 1)),
            R"({"iss":"sluice@p.iam.gserviceaccount.com",)"
            R"("scope":"https://www.googleapis.com/auth/pubsub",)"
            R"("aud":"https://oauth2.example/token","iat":1000,"exp":4600})");
}

TEST(PubSubRequest, HoldsEachRecordUnderTheOneOrderingKey) {
  const json body = json::parse(messages_of({"77", {R"({"a" : 1})", R"({"b":2})"}, 0}));
  const json& messages = body.at("messages");
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(from_base64(messages[0].at("data").get<std::string>()), R"({"a" : 1})");
  EXPECT_EQ(from_base64(messages[1].at("data").get<std::string>()), R"({"b":2})");
  EXPECT_EQ(messages[1].at("orderingKey"), "77");
}

TEST(PubSubOutcome, FollowsTheServicesCodes) {
  const auto outcome = [](int status, const char* code) {
    egress::HttpResponse response;
    response.status = status;
    response.body =
        json({{"error", {{"code", status}, {"message", "m"}, {"status", code}}}}).dump();
    ServiceAnswer answer;
    answer.error = read_error(response);
    EXPECT_EQ(answer.error.message, "m");
    answer.outcome = {by_status(status, "why", {}), status, true};
    return classify(std::move(answer)).decision;
  };
  EXPECT_TRUE(std::holds_alternative<RetryLater>(outcome(429, "RESOURCE_EXHAUSTED")));
  EXPECT_TRUE(std::holds_alternative<RetryLater>(outcome(503, "UNAVAILABLE")));
  EXPECT_TRUE(std::holds_alternative<RetryLater>(outcome(409, "ABORTED")));
  EXPECT_TRUE(std::holds_alternative<RetryLater>(outcome(499, "CANCELLED")));
  EXPECT_TRUE(std::holds_alternative<Rejected>(outcome(400, "INVALID_ARGUMENT")));
  EXPECT_TRUE(std::holds_alternative<Misconfigured>(outcome(400, "FAILED_PRECONDITION")));
  EXPECT_TRUE(std::holds_alternative<Misconfigured>(outcome(403, "PERMISSION_DENIED")));
  EXPECT_TRUE(std::holds_alternative<Misconfigured>(outcome(404, "NOT_FOUND")));
}

}  // namespace
}  // namespace sluice::connectors::pubsub
