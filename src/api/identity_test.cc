// Logging in, application tokens and organisations through the API.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sluice::api {
namespace {

using nlohmann::json;

constexpr const char* kTokens = "/api/v1/application_token";
constexpr const char* kOrganisations = "/api/v2/organisation";
constexpr const char* kLogin = "/api/v1/authenticate";

class IdentityTest : public ApiTest {
 protected:
  explicit IdentityTest(Settings settings = {}) : ApiTest(settings) {}

  http::Response make(Role maker, std::uint64_t organisation, const char* role,
                      const char* query = "") {
    return send(maker, organisation,
                {.method = "POST",
                 .target = std::string(kTokens) + query,
                 .body = fmt::format(R"({{"name": "n", "role": "{}"}})", role)});
  }
  http::Response login(const json& body) {
    return send({.method = "POST", .target = kLogin, .body = body.dump()});
  }
  json log_in(const json& made) {
    return expect(200, login({{"application_token", made.at("application_token")}}));
  }
  http::Response get(const json& token, const std::string& target) {
    return send({.method = "GET", .target = target, .token = token.get<std::string>()});
  }
  http::Response revoke(const json& made, Role role = Role::Admin, std::uint64_t organisation = 1) {
    return send(role, organisation,
                {.method = "DELETE", .target = fmt::format("{}/{}", kTokens, made["id"].dump())});
  }
};

TEST_F(IdentityTest, AnApplicationTokenIsShownOnceAndLogsIn) {
  const http::Response answer = make(Role::Admin, 1, "developer");
  const json made = expect(201, answer);
  EXPECT_EQ(made.size(), 5u);
  const std::string key_id = made.at("key_id");
  EXPECT_EQ(made.at("application_token"), key_id + "." + made.at("secret").get<std::string>());
  EXPECT_EQ(made.at("address"), key_id + "@1.serviceaccount.sluice");

  const http::Response listed = send(Role::Admin, 1, {.method = "GET", .target = kTokens});
  EXPECT_EQ(listed.body.find(made.at("secret").get<std::string>()), std::string::npos);
  const json list = expect(200, listed);
  ASSERT_EQ(list.at("items").size(), 1u);
  EXPECT_TRUE(list.at("next").is_null());
  EXPECT_EQ(list["items"][0].at("name"), "n");
  EXPECT_EQ(list["items"][0].at("role"), "developer");
  EXPECT_EQ(list["items"][0].at("organisation").at("id"), 1);
  EXPECT_EQ(list["items"][0].at("created"), "2026-11-21T20:00:00.000Z");

  const json pair = log_in(made);
  EXPECT_EQ(get(pair.at("auth_token"), "/api/v2/data_stream").status, 200);
  EXPECT_EQ(get(pair.at("auth_token"), "/api/v2/data_stream?organisation_id=2").status, 404);
  EXPECT_EQ(get(pair.at("auth_token"), kTokens).status, 403);  // a developer's
}

TEST_F(IdentityTest, NothingOfTheSecretLiesInTheCatalog) {
  const json made = expect(201, make(Role::Admin, 1, "viewer"));
  const auto stored = *registry->application_token(made.at("key_id").get<std::string>());
  EXPECT_EQ(stored->secret.find(made.at("secret").get<std::string>()), std::string::npos);
  EXPECT_EQ(
      *secrets.open(stored->secret, fmt::format("1/application_token/{}/secret", stored->key_id)),
      made.at("secret"));
}

TEST_F(IdentityTest, ARefreshTokenStandsInForTheApplicationTokenAndForNothingElse) {
  const json pair = log_in(expect(201, make(Role::Admin, 1, "viewer")));
  const json next = expect(200, login({{"refresh_token", pair.at("refresh_token")}}));
  EXPECT_EQ(get(next.at("auth_token"), "/api/v2/data_stream").status, 200);
  EXPECT_EQ(get(next.at("refresh_token"), "/api/v2/data_stream").status, 401);
  EXPECT_EQ(login({{"refresh_token", pair.at("auth_token")}}).status, 401);
  EXPECT_EQ(login({{"refresh_token", token(Role::Admin, 1)}}).status, 401);
}

TEST_F(IdentityTest, RevokingEndsAllThatWasMadeFromIt) {
  const json made = expect(201, make(Role::Admin, 1, "viewer"));
  const json pair = log_in(made);
  EXPECT_EQ(get(pair.at("auth_token"), "/api/v2/data_stream").status, 200);  // remembered now
  EXPECT_EQ(revoke(made, Role::Admin, 2).status, 404);
  EXPECT_EQ(get(pair.at("auth_token"), "/api/v2/data_stream").status, 200);
  EXPECT_EQ(revoke(made).status, 204);
  EXPECT_EQ(get(pair.at("auth_token"), "/api/v2/data_stream").status, 401);
  EXPECT_EQ(login({{"refresh_token", pair.at("refresh_token")}}).status, 401);
  EXPECT_EQ(login({{"application_token", made.at("application_token")}}).status, 401);
  EXPECT_EQ(revoke(made).status, 404);
}

TEST_F(IdentityTest, WhatIsWrongDoesNotLogIn) {
  const json made = expect(201, make(Role::Admin, 1, "viewer"));
  const json other = expect(201, make(Role::Admin, 1, "viewer"));
  const std::string key_id = made.at("key_id");
  const std::string secret = made.at("secret");
  for (const std::string& wrong :
       {key_id, secret, key_id + ".", key_id + "." + secret.substr(1), key_id + "." + secret + "0",
        other.at("key_id").get<std::string>() + "." + secret, "." + secret, std::string("a.b"),
        key_id + "." + std::string(secret.size(), '0')}) {
    const http::Response answer = login({{"application_token", wrong}});
    EXPECT_EQ(answer.status, 401) << wrong;
    EXPECT_EQ(answer.headers.back(),
              (std::pair<std::string, std::string>("WWW-Authenticate", "Bearer")));
  }
  EXPECT_EQ(login({{"refresh_token", "a.b.c"}}).status, 401);
}

TEST_F(IdentityTest, FaultsOfALoginNameTheProperty) {
  const std::pair<json, const char*> faults[] = {
      {{{"username", "u"}, {"password", "p"}}, "user names and passwords"},
      {{{"application_token", "a"}, {"refresh_token", "b"}}, "either this or refresh_token"},
      {json::object(), "either this or refresh_token"},
      {{{"application_token", 7}}, "application_token: must be a string"},
      {{{"application_token", "a"}, {"colour", 1}}, "colour: is not known"},
  };
  for (const auto& [body, message] : faults) {
    const http::Response answer = login(body);
    EXPECT_EQ(expect(422, answer).at("error_token"), "InvalidRequest");
    EXPECT_NE(answer.body.find(message), std::string::npos) << answer.body;
  }
  EXPECT_EQ(login(json::array()).status, 400);
  EXPECT_EQ(send({.method = "POST", .target = kLogin, .body = "{"}).status, 400);
}

TEST_F(IdentityTest, NobodyMakesATokenAboveHisOwnRole) {
  EXPECT_EQ(make(Role::Admin, 1, "operator").status, 403);
  EXPECT_EQ(make(Role::Admin, 1, "admin").status, 201);
  EXPECT_EQ(make(Role::Admin, 1, "ingest").status, 201);
  EXPECT_EQ(make(Role::Operator, 1, "operator").status, 201);
  for (const Role role : {Role::Developer, Role::Viewer, Role::Ingest}) {
    EXPECT_EQ(make(role, 1, "viewer").status, 403) << role_name(role);
    EXPECT_EQ(send(role, 1, {.method = "GET", .target = kTokens}).status, 403);
  }
}

TEST_F(IdentityTest, AdminsManageTheirOwnOperatorsAny) {
  EXPECT_EQ(make(Role::Admin, 1, "viewer", "?organisation_id=2").status, 404);
  const json made = expect(201, make(Role::Operator, 0, "viewer", "?organisation_id=2"));
  EXPECT_EQ(make(Role::Operator, 0, "viewer").status, 400);
  EXPECT_EQ(make(Role::Operator, 0, "viewer", "?organisation_id=99").status, 404);
  expect(201, make(Role::Admin, 1, "viewer"));
  const auto count = [this](Role role, std::uint64_t own, const std::string& query) {
    return expect(200, send(role, own, {.method = "GET", .target = kTokens + query}))["items"]
        .size();
  };
  EXPECT_EQ(count(Role::Operator, 0, ""), 2u);
  EXPECT_EQ(count(Role::Operator, 0, "?organisation_id=2"), 1u);
  EXPECT_EQ(count(Role::Admin, 2, ""), 1u);
  EXPECT_EQ(revoke(made, Role::Operator, 0).status, 204);
  EXPECT_EQ(count(Role::Admin, 2, ""), 0u);
}

TEST_F(IdentityTest, TheLimitOfTokensIsAnOrganisations) {
  for (int i = 0; i < 3; ++i) ASSERT_EQ(make(Role::Admin, 1, "viewer").status, 201);
  const http::Response answer = make(Role::Admin, 1, "viewer");
  EXPECT_EQ(answer.status, 422);
  EXPECT_EQ(expect_token(answer), "TokenLimit");
  EXPECT_EQ(make(Role::Admin, 2, "viewer").status, 201);
  // A token's own organisation exists, whether the catalog knew it or not.
  EXPECT_EQ(make(Role::Admin, 77, "viewer").status, 201);
}

TEST_F(IdentityTest, ListsComeInPages) {
  for (int i = 0; i < 3; ++i) ASSERT_EQ(make(Role::Admin, 1, "viewer").status, 201);
  const auto page = [this](const std::string& query) {
    return expect(200, send(Role::Admin, 1, {.method = "GET", .target = kTokens + query}));
  };
  const json first = page("?limit=2");
  EXPECT_EQ(first.at("items").size(), 2u);
  const json rest = page("?limit=2&after=" + first.at("next").get<std::string>());
  EXPECT_EQ(rest.at("items").size(), 1u);
  EXPECT_TRUE(rest.at("next").is_null());
  EXPECT_TRUE(page("?limit=3").at("next").is_null());
  for (const char* query : {"?limit=0", "?limit=1001", "?limit=x", "?after=x", "?after=-1"}) {
    EXPECT_EQ(
        send(Role::Admin, 1, {.method = "GET", .target = std::string(kTokens) + query}).status, 400)
        << query;
  }
}

TEST_F(IdentityTest, OrganisationsAreTheOperators) {
  const auto call = [this](Role role, const char* method, const std::string& target,
                           const json& body) {
    return send(role, role == Role::Operator ? 0 : 1,
                {.method = method, .target = target, .body = body.is_null() ? "" : body.dump()});
  };
  for (const Role role : {Role::Admin, Role::Developer, Role::Viewer, Role::Ingest}) {
    EXPECT_EQ(call(role, "GET", kOrganisations, nullptr).status, 403);
    EXPECT_EQ(call(role, "POST", kOrganisations, {{"id", 7}}).status, 403);
    EXPECT_EQ(call(role, "PATCH", "/api/v2/organisation/1", {{"name", "x"}}).status, 403);
  }
  const http::Response made = call(Role::Operator, "POST", kOrganisations,
                                   {{"id", 7}, {"name", "Seven"}, {"company_id", "c7"}});
  EXPECT_EQ(expect(201, made),
            json({{"id", 7}, {"name", "Seven"}, {"company_id", "c7"}, {"project", "7"}}));
  EXPECT_EQ(call(Role::Operator, "POST", kOrganisations, {{"id", 7}}).status, 409);
  const json changed =
      expect(200, call(Role::Operator, "PATCH", "/api/v2/organisation/7",
                       {{"id", 7}, {"project", "seven"}, {"company_id", nullptr}}));
  EXPECT_EQ(changed.at("project"), "seven");
  EXPECT_TRUE(changed.at("company_id").is_null());
  EXPECT_EQ(changed.at("name"), "Seven");
  EXPECT_EQ(call(Role::Operator, "PATCH", "/api/v2/organisation/1", {{"project", "seven"}}).status,
            409);
  EXPECT_EQ(call(Role::Operator, "PATCH", "/api/v2/organisation/99", {{"name", "x"}}).status, 404);
  const json list = expect(200, call(Role::Operator, "GET", kOrganisations, nullptr));
  ASSERT_EQ(list.at("items").size(), 3u);
  EXPECT_EQ(list["items"][2], changed);
}

TEST_F(IdentityTest, FaultsOfAnOrganisationNameTheProperty) {
  const std::pair<const char*, const char*> bad[] = {
      {R"({})", "id: "},
      {R"({"id": 0})", "id: "},
      {R"({"id": 9223372036854775808})", "id: "},
      {R"({"id": "7"})", "id: "},
      {R"({"id": 7, "colour": 1})", "colour: "},
      {R"({"id": 7, "name": 1})", "name: "},
      {R"({"id": 7, "project": "8"})", "project: "},
      {R"({"id": 7, "project": "a b"})", "project: "},
      {R"({"id": 7, "project": "a/b"})", "project: "},
  };
  for (const auto& [body, named] : bad) {
    const http::Response answer =
        send(Role::Operator, 0, {.method = "POST", .target = kOrganisations, .body = body});
    const json triple = expect(422, answer);
    EXPECT_EQ(triple.at("error_token"), "InvalidRequest");
    EXPECT_TRUE(triple.at("message").get<std::string>().starts_with(named)) << answer.body;
  }
  const json triples = expect(422, send(Role::Operator, 0,
                                        {.method = "PATCH",
                                         .target = "/api/v2/organisation/1",
                                         .body = R"({"id": 2, "project": "2", "colour": 1})"}));
  ASSERT_EQ(triples.size(), 3u);
  EXPECT_EQ((**catalog->organisation(OrganisationId{1})).project, "");
}

class TryLimitedTest : public IdentityTest {
 protected:
  TryLimitedTest() : IdentityTest({.login_tries_max = 2}) {}
};

TEST_F(TryLimitedTest, TriesAreCountedByAddress) {
  const auto status = [this](const char* address, const char* body) {
    return send({.method = "POST", .target = kLogin, .body = body, .remote_address = address})
        .status;
  };
  EXPECT_EQ(status("192.0.2.1", R"({"application_token": "x"})"), 401);
  EXPECT_EQ(status("192.0.2.1", "{"), 400);
  const http::Response refused =
      send({.method = "POST", .target = kLogin, .body = "{", .remote_address = "192.0.2.1"});
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(expect_token(refused), "TooManyTries");
  ASSERT_EQ(refused.headers.size(), 1u);
  EXPECT_EQ(refused.headers[0], (std::pair<std::string, std::string>("Retry-After", "300")));
  EXPECT_EQ(status("192.0.2.2", R"({"application_token": "x"})"), 401);
  // What is no try to log in goes on.
  EXPECT_EQ(send({.method = "GET", .target = "/healthz", .remote_address = "192.0.2.1"}).status,
            200);
}

}  // namespace
}  // namespace sluice::api
