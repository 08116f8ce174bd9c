#include "api/stream_auth.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::api {
namespace {

using nlohmann::json;

const json kBasic = {{"type", "basic"}, {"username", "user"}, {"password", "secret"}};
const json kOauth = {{"type", "oauth2_client_credentials"},
                     {"token_url", "https://id.example/token"},
                     {"client_id", "me"},
                     {"client_secret", "secret"}};

std::vector<std::string> faults_of(const json& given) {
  Faults faults;
  parse_auth(given, faults);
  std::vector<std::string> names;
  for (const Fault& fault : faults.list()) names.push_back(fault.property);
  return names;
}

using Names = std::vector<std::string>;

TEST(StreamAuth, IsNothingWhereNothingIsGiven) {
  Faults faults;
  EXPECT_EQ(parse_auth(json(), faults), json());
  EXPECT_EQ(parse_ca(json(), faults), json());
  EXPECT_TRUE(faults.empty());
}

TEST(StreamAuth, IsCheckedByItsTypesSchema) {
  EXPECT_EQ(faults_of(kBasic), Names{});
  EXPECT_EQ(faults_of("basic"), Names{"destination.auth"});
  EXPECT_EQ(faults_of(json::object()), Names{"destination.auth.type"});
  EXPECT_EQ(faults_of({{"token", "x"}}), Names{"destination.auth.type"});
  EXPECT_EQ(faults_of({{"type", "bearer"}, {"token", "***"}}), Names{"destination.auth.token"});
  EXPECT_EQ(faults_of({{"type", "mtls"}, {"key", 7}}),
            (Names{"destination.auth.certificate", "destination.auth.key"}));
  EXPECT_EQ(faults_of({{"type", "bearer"}, {"token", "x"}, {"user", "y"}}),
            Names{"destination.auth.user"});
}

TEST(StreamAuth, ShowsNoSecretAndTakesTheMaskBack) {
  EXPECT_EQ(json(mask_auth(kBasic)),
            (json{{"type", "basic"}, {"username", "user"}, {"password", "***"}}));
  EXPECT_EQ(merge_auth(kBasic, mask_auth(kBasic)), kBasic);
  EXPECT_EQ(merge_auth(kBasic, json::object()), kBasic);
  EXPECT_EQ(merge_auth(kBasic, {{"password", "new"}}).at("password"), "new");
}

TEST(StreamAuth, AnotherTypeBeginsAnewAndNullTakesItAway) {
  const json bearer = {{"type", "bearer"}, {"token", "t"}};
  EXPECT_EQ(merge_auth(kBasic, bearer), bearer);
  EXPECT_EQ(merge_auth(json(), bearer), bearer);
  EXPECT_EQ(merge_auth(kBasic, json()), json());
}

TEST(StreamAuth, WantsItsSecretsAnewWhenTheyGoElsewhere) {
  const auto wanted = [](const json& given, const json& changed, std::string_view moved) {
    Faults faults;
    require_auth_anew(kOauth, given, changed, moved, faults);
    return faults.size();
  };
  json elsewhere = kOauth;
  elsewhere["token_url"] = "https://other.example/token";
  EXPECT_EQ(wanted(json::object(), kOauth, ""), 0u);
  EXPECT_EQ(wanted(json::object(), elsewhere, ""), 1u);
  EXPECT_EQ(wanted({{"client_secret", "***"}}, elsewhere, ""), 1u);
  EXPECT_EQ(wanted({{"client_secret", "anew"}}, elsewhere, ""), 0u);
  EXPECT_EQ(wanted(json::object(), kOauth, "url"), 1u);
  EXPECT_EQ(wanted(json::object(), kBasic, "url"), 0u);  // another type has brought its own
}

}  // namespace
}  // namespace sluice::api
