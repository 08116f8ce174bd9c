#include "connectors/common/auth.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::connectors {
namespace {

using nlohmann::json;

// Certificates, tokens and what goes over the wire: tests/e2e/test_auth.py.

AuthSettings settings_of(const json& auth) {
  Result<AuthSettings> settings = read_auth({{"auth", auth}});
  EXPECT_TRUE(settings.has_value()) << settings.error().message;
  return *std::move(settings);
}

std::string fault(const json& destination) {
  const Result<AuthSettings> settings = read_auth(destination);
  if (settings.has_value()) return "accepted";
  EXPECT_EQ(settings.error().code, ErrorCode::InvalidArgument);
  return settings.error().message;
}

TEST(Auth, IsNothingWhereNothingIsGiven) {
  const Result<AuthSettings> settings = read_auth(json::object());
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(settings->authorization, "");
  EXPECT_FALSE(settings->oauth.has_value());
  EXPECT_TRUE(settings->tls.empty());
}

// RFC 7617, 2.
TEST(Auth, BasicHasTwoSpellings) {
  const json given = {{"type", "basic"}, {"username", "Aladdin"}, {"password", "open sesame"}};
  const json encoded = {{"type", "basic"}, {"value", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}};
  for (const json& auth : {given, encoded}) {
    const AuthSettings settings = settings_of(auth);
    EXPECT_EQ(settings.authorization, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    EXPECT_EQ(settings.secrets,
              (std::vector<std::string>{"QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "open sesame"}));
  }
}

TEST(Auth, NothingThatEndsAHeaderGetsIntoOne) {
  EXPECT_EQ(fault({{"auth", {{"type", "bearer"}, {"token", "a\r\nX: y"}}}}),
            "destination.auth.token: must be visible ASCII characters without blanks");
  EXPECT_EQ(fault({{"auth", {{"type", "basic"}, {"value", "YTpi\r\n"}}}}),
            "destination.auth.value: must be the base64 of <user name>:<password>");
  EXPECT_EQ(fault({{"auth", {{"type", "basic"}, {"username", "a"}, {"password", "b\n"}}}}),
            "destination.auth.password: must not hold control characters");
}

TEST(Auth, NamesWhatIsWrong) {
  EXPECT_EQ(fault({{"auth", {{"type", "basic"}, {"username", "a:b"}, {"password", "c"}}}}),
            "destination.auth.username: must not hold a colon");
  EXPECT_EQ(fault({{"auth", {{"type", "basic"}, {"username", "a"}}}}),
            "destination.auth.password: is required, or value in place of both");
  EXPECT_EQ(fault({{"auth", {{"type", "basic"}, {"username", "a"}, {"value", "YTpi"}}}}),
            "destination.auth.value: stands in place of username and password: give it alone");
  EXPECT_EQ(fault({{"auth",
                    {{"type", "oauth2_client_credentials"},
                     {"token_url", "https://user:pw@a.example/"},
                     {"client_id", "a"},
                     {"client_secret", "b"}}}})
                .substr(0, 27),
            "destination.auth.token_url:");
  EXPECT_EQ(fault({{"ca", "none"}}),
            "destination.ca: must be certificates in PEM, all of them whole");
}

TEST(Auth, EachTypeIsInTheTable) {
  for (const AuthType& type : auth_types()) {
    const json schema = json::parse(type.schema_json);
    EXPECT_EQ(schema.at("type"), type.name);
    EXPECT_EQ(schema.at("fields").at(0).at("values"), json::array({type.name}));
    EXPECT_EQ(find_auth_type(type.name), &type);
  }
  EXPECT_EQ(find_auth_type("digest"), nullptr);
}

}  // namespace
}  // namespace sluice::connectors
