// Who may call what: the whole table, each role, own and foreign organisations.

#include "api/routes.h"

#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "api/api_fixture.h"

namespace sluice::api {
namespace {

constexpr std::array kRoles = {Role::Operator, Role::Admin, Role::Developer, Role::Viewer,
                               Role::Ingest};

std::string target_of(const Route& route, std::uint64_t stream) {
  std::string target(route.pattern);
  const std::size_t at = target.find("{id}");
  if (at != std::string::npos) target.replace(at, 4, std::to_string(stream));
  const std::size_t replay = target.find("{replay_id}");
  if (replay != std::string::npos) target.replace(replay, std::string::npos, "1");
  return target;
}

// Role and call as the specification's table has them, written out again.
bool specified(Role role, std::string_view method, std::string_view pattern) {
  if (pattern == "/healthz" || pattern == "/readyz" || pattern == "/metrics") return true;
  if (pattern == "/api/openapi.json" || pattern.starts_with("/api/docs")) return true;
  if (pattern.starts_with("/data-connector/.well-known/")) return true;
  if (pattern == "/api/v1/authenticate" || role == Role::Operator) return true;
  if (pattern == "/api/v2/quarantine") return false;
  if (pattern == "/api/v2/data_stream/restart") return false;
  if (pattern.starts_with("/api/v2/organisation")) return false;
  if (pattern.starts_with("/api/v1/application_token")) return role == Role::Admin;
  if (method == "POST" && pattern.starts_with("/api/v2/records/")) return role == Role::Ingest;
  if (role == Role::Ingest) return false;
  if (method == "GET" || pattern.ends_with("/filters/preview") || role == Role::Admin) return true;
  if (role == Role::Viewer) return false;
  return method == "PATCH" || pattern.ends_with("/restart") || pattern.ends_with("/skip") ||
         pattern.ends_with("/redrive") || pattern.ends_with("/test");
}

TEST_F(ApiTest, EachRoleMayDoWhatTheSpecificationSays) {
  for (const Route& route : routes()) {
    for (const Role role : kRoles) {
      const std::uint64_t id = create().at("id");
      const http::Response response =
          send(role, 1, {.method = std::string(route.method), .target = target_of(route, id)});
      send(Role::Admin, 1, {"DELETE", "/api/v2/data_stream/" + std::to_string(id)});
      const bool allowed = response.status != 403;
      EXPECT_EQ(allowed, specified(role, route.method, route.pattern))
          << role_name(role) << " " << route.method << " " << route.pattern;
      EXPECT_NE(response.status, 401);
      EXPECT_LT(response.status, 500);
    }
  }
}

TEST_F(ApiTest, WithoutATokenNothingButHealthAndMetrics) {
  for (const Route& route : routes()) {
    const std::string method(route.method);
    const std::string target = target_of(route, 1);
    const bool is_public = route.access == Access::Public || route.access == Access::Metrics ||
                           route.access == Access::Login;
    for (const char* authorization :
         {"", "Bearer", "Bearer ", "Basic dTpw", "Bearer e30.e30.", "bearer  x.y.z"}) {
      const http::Response response =
          send({.method = method, .target = target, .headers = {{"Authorization", authorization}}});
      EXPECT_EQ(response.status == 401, !is_public) << method << " " << target;
      if (response.status != 401) continue;
      EXPECT_EQ(expect_token(response), "Unauthorized");
      ASSERT_EQ(response.headers.size(), 1u);
      EXPECT_EQ(response.headers[0],
                std::pair(std::string("WWW-Authenticate"), std::string("Bearer")));
    }
  }
}

TEST_F(ApiTest, TheSchemeIsReadInAnyCase) {
  for (const char* scheme : {"bearer ", "BEARER   "}) {
    EXPECT_EQ(send({.method = "GET",
                    .target = "/api/v2/data_stream",
                    .headers = {{"Authorization", scheme + token(Role::Viewer, 1)}}})
                  .status,
              200);
  }
}

TEST_F(ApiTest, AnUnknownPathIs404AndAnotherMethod405) {
  for (const char* path :
       {"/", "", "/api", "/api/v2/data_stream/", "/api/v2/data_stream/x", "/api/v2/data_stream/1/",
        "/api/v2/data_stream/-1", "/api/v2/data_stream/+1", "/api/v2/data_stream/1.0",
        "/api/v2/data_stream/18446744073709551616", "/api/v2/data_stream/9223372036854775808",
        "/api/v2/data_stream/1/colours", "/api/v2/data_stream//restart", "/healthz/",
        "/api/v2/records/sensor-events", "/api/v2/records/messages", "/api/v1/data_stream",
        "/API/v2/data_stream", "/api/v2/data_stream/%31"}) {
    const http::Response response = send(Role::Operator, 1, {.method = "GET", .target = path});
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_EQ(expect_token(response), "NotFound");
  }
  const std::vector<std::pair<std::string, std::string>> allowed = {
      {"/api/v2/data_stream", "GET, POST"},  {"/api/v2/data_stream/1", "GET, PATCH, DELETE"},
      {"/api/v2/data_stream/status", "GET"}, {"/api/v2/data_stream/1/restart", "POST"},
      {"/api/v2/records/usage", "POST"},     {"/metrics", "GET"}};
  for (const auto& [path, methods] : allowed) {
    for (const char* method : {"PUT", "get", "", "TRACE"}) {
      const http::Response response = send(Role::Operator, 1, {.method = method, .target = path});
      EXPECT_EQ(response.status, 405) << method << " " << path;
      EXPECT_EQ(expect_token(response), "MethodNotAllowed");
      ASSERT_EQ(response.headers.size(), 1u);
      EXPECT_EQ(response.headers[0], std::pair(std::string("Allow"), methods));
    }
  }
}

TEST_F(ApiTest, AnotherOrganisationsStreamDoesNotExist) {
  const std::uint64_t id = create(1).at("id");
  for (const Route& route : routes()) {
    if (!route.pattern.starts_with("/api/v2/data_stream/{id}")) continue;
    const Call call{std::string(route.method), target_of(route, id), R"({"status": 2})"};
    for (const Role role : kRoles) {
      const http::Response response = send(role, 2, call);
      EXPECT_EQ(response.status, 404)
          << role_name(role) << " " << call.method << " " << call.target;
      EXPECT_EQ(expect_token(response), "NotFound");
    }
    Call named = call;
    named.target += "?organisation_id=1";  // only the operator may say whose
    EXPECT_EQ(send(Role::Admin, 2, named).status, 404);
  }
  EXPECT_EQ(send(Role::Admin, 2, {"GET", "/api/v2/data_stream?organisation_id=1"}).status, 404);
  EXPECT_EQ(
      send(Role::Admin, 2, {"POST", "/api/v2/data_stream?organisation_id=1", body_for()}).status,
      404);
  EXPECT_EQ(expect(200, send(Role::Admin, 2, {"GET", "/api/v2/data_stream"})).size(), 0u);
  const nlohmann::json stream =
      expect(200, send(Role::Viewer, 1, {"GET", "/api/v2/data_stream/" + std::to_string(id)}));
  EXPECT_EQ(stream.at("status").at("id"), 1);
}

TEST_F(ApiTest, ABodyAnnouncedAsSomethingElseIsRefused) {
  create();
  const auto status = [this](const Call& call, const char* type) {
    Call typed = call;
    typed.headers = {{"Content-Type", type}};
    return send(Role::Admin, 1, typed).status;
  };
  const Call make{"POST", "/api/v2/data_stream", body_for()};
  const Call change{"PATCH", "/api/v2/data_stream/1", R"({"name": "x"})"};
  for (const char* type : {"application/json", "Application/JSON; charset=utf-8",
                           "application/merge-patch+json", "application/json ;x=y"}) {
    EXPECT_EQ(status(make, type), 201) << type;
    EXPECT_EQ(status(change, type), 202) << type;
  }
  for (const char* type : {"application/x-www-form-urlencoded", "text/plain", "+json", "json"}) {
    EXPECT_EQ(status(make, type), 415) << type;
    EXPECT_EQ(status(change, type), 415) << type;
  }
  EXPECT_EQ(status({"GET", "/api/v2/data_stream"}, "text/plain"), 200);
}

TEST_F(ApiTest, AnOperatorSaysWhoseStreams) {
  const std::uint64_t id = create(1).at("id");
  const std::string path = "/api/v2/data_stream/" + std::to_string(id);
  const std::string list = "/api/v2/data_stream";
  // Bound to 2, looking at 1.
  EXPECT_EQ(expect(200, send(Role::Operator, 2, {"GET", list})).size(), 0u);
  EXPECT_EQ(expect(200, send(Role::Operator, 2, {"GET", list + "?organisation_id=1"})).size(), 1u);
  EXPECT_EQ(send(Role::Operator, 2, {"GET", path}).status, 404);
  EXPECT_EQ(send(Role::Operator, 2, {"GET", path + "?organisation_id=1"}).status, 200);
  // Bound to none.
  EXPECT_EQ(send(Role::Operator, 0, {"GET", path}).status, 200);
  EXPECT_EQ(send(Role::Operator, 0, {"GET", path + "?organisation_id=2"}).status, 404);
  for (const char* method : {"GET", "POST"}) {
    const http::Response response = send(Role::Operator, 0, {method, list, body_for()});
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(expect_token(response), "BadQuery");
    EXPECT_NE(response.body.find("organisation_id"), std::string::npos);
    EXPECT_EQ(send(Role::Operator, 0, {method, list + "?organisation_id=3", body_for()}).status,
              404);
  }
  EXPECT_EQ(expect(201, send(Role::Operator, 0, {"POST", list + "?organisation_id=2", body_for()}))
                .at("organisation")
                .at("name"),
            "Two");
}

TEST_F(ApiTest, BadQueriesAreNamed) {
  for (const char* query : {"organisation_id=x", "organisation_id=", "organisation_id=-1",
                            "organisation_id=9223372036854775808", "page=1",
                            "organisation_id=1&organisation_id=1", "organisation_id=%"}) {
    const http::Response response =
        send(Role::Operator, 1, {"GET", std::string("/api/v2/data_stream?") + query});
    EXPECT_EQ(response.status, 400) << query;
    EXPECT_EQ(expect_token(response), "BadQuery");
  }
}

// A token of ours that names an organisation is a mention of it.
TEST_F(ApiTest, ATokensOwnOrganisationExists) {
  EXPECT_EQ(expect(200, send(Role::Viewer, 77, {"GET", "/api/v2/data_stream"})).size(), 0u);
  EXPECT_EQ(create(77).at("organisation").at("id"), 77);
}

TEST_F(ApiTest, RecordsGoToIngest) {
  const http::Response usage =
      send(Role::Ingest, 0, {.method = "POST", .target = "/api/v2/records/usage", .body = "{}"});
  EXPECT_EQ(usage.body, "usage tester {}");
  const http::Response events = send(
      Role::Operator, 1,
      {.method = "POST", .target = "/api/v2/records/events?organisation_id=1&x=%", .body = "[]"});
  EXPECT_EQ(events.body, "events tester []");
  EXPECT_EQ(send(Role::Ingest, 1,
                 {.method = "POST",
                  .target = "/api/v2/records/usage",
                  .headers = {{"Content-Type", "text/plain"}}})
                .status,
            415);
}

TEST_F(ApiTest, HealthNamesTheFault) {
  EXPECT_EQ(expect(200, send({"GET", "/healthz"})).at("status"), "ok");
  EXPECT_EQ(expect(200, send({"GET", "/readyz"})).at("status"), "ready");
  log.fault = "2 chunks are in quarantine";
  const http::Response response = send({"GET", "/readyz"});
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(expect_token(response), "StorageUnavailable");
  EXPECT_NE(response.body.find("quarantine"), std::string::npos);
  EXPECT_EQ(send({"GET", "/healthz"}).status, 200);
}

TEST_F(ApiTest, AStuckCatalogIsNotReady) {
  std::promise<void> go_on;
  const std::shared_future<void> until = go_on.get_future().share();
  for (int i = 0; i < 2; ++i) {
    catalog_pool().post([until] { until.wait(); });  // each of its threads
  }
  const http::Response response = send({"GET", "/readyz"});
  EXPECT_EQ(response.status, 503);
  EXPECT_NE(response.body.find("catalog"), std::string::npos) << response.body;
  go_on.set_value();
  EXPECT_EQ(send({"GET", "/readyz"}).status, 200);
}

class AdminListener : public ApiTest {
 protected:
  AdminListener() : ApiTest(Settings{.metrics = MetricsAt::AdminListener}) {}
};

TEST_F(AdminListener, MetricsAreNowhereElse) {
  EXPECT_EQ(send(Role::Operator, 0, {"GET", "/metrics"}).status, 404);
  EXPECT_EQ(send({"GET", "/healthz"}).status, 200);
  const Call to_admin{.method = "GET", .target = "/metrics", .admin = true};
  EXPECT_EQ(send(to_admin).status, 200);
  EXPECT_EQ(send({.method = "POST", .target = "/metrics", .admin = true}).status, 405);
  EXPECT_EQ(send({.method = "GET", .target = "/healthz", .admin = true}).status, 404);
  EXPECT_EQ(
      send(Role::Operator, 1, {.method = "GET", .target = "/api/v2/data_stream", .admin = true})
          .status,
      404);
}

TEST_F(ApiTest, OnlyTheInspectorsStreamsHaveOne) {
  const std::string path = "/api/v2/data_stream/" + create().at("id").dump() + "/inspector";
  const http::Response response = send(Role::Viewer, 1, {"GET", path});
  EXPECT_EQ(response.status, 404);
  EXPECT_NE(response.body.find("has no inspector"), std::string::npos);
  for (const char* query : {"?limit=0", "?limit=1001", "?limit=x", "?after=x", "?after=-1"}) {
    EXPECT_EQ(send(Role::Viewer, 1, {"GET", path + query}).status, 400) << query;
  }
}

TEST_F(ApiTest, MetricsCountAnswers) {
  send(Role::Viewer, 1, {"GET", "/api/v2/data_stream/5"});
  const http::Response response = send({"GET", "/metrics"});
  EXPECT_TRUE(response.content_type.starts_with("text/plain"));
  EXPECT_NE(response.body.find("sluice_api_answers_total{call=\"GET /api/v2/data_stream/{id}\","
                               "status=\"4xx\"} 1"),
            std::string::npos)
      << response.body;
}

class OpenListener : public ApiTest {
 protected:
  OpenListener() : ApiTest(Settings{.metrics = MetricsAt::Operators}) {}
};

TEST_F(OpenListener, MetricsWantAnOperator) {
  EXPECT_EQ(send({"GET", "/metrics"}).status, 401);
  EXPECT_EQ(send(Role::Admin, 1, {"GET", "/metrics"}).status, 403);
  EXPECT_EQ(send(Role::Operator, 0, {"GET", "/metrics"}).status, 200);
  EXPECT_EQ(send({"GET", "/healthz"}).status, 200);
}

TEST(Routes, EachIsThereOnceAndSaysWhatItDoes) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const Route& route : routes()) {
    EXPECT_TRUE(seen.emplace(route.method, route.pattern).second) << route.pattern;
    EXPECT_FALSE(route.summary.empty());
    std::string method(route.method);
    EXPECT_EQ(match_route(method, target_of(route, 5)).route, &route);
  }
  EXPECT_EQ(match_route("GET", "/api/v2/data_stream/9223372036854775807").id, catalog::kIdMax);
}

}  // namespace
}  // namespace sluice::api
