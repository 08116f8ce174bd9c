// The description against the table of routes: each says what the other does.

#include "api/openapi.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "api/api_fixture.h"
#include "api/routes.h"

namespace sluice::api {
namespace {

using nlohmann::json;

json document(std::string_view public_url = "") {
  return json::parse(openapi_document({&test_connector()}, public_url));
}

const json* described(const json& paths, const Route& route) {
  std::string method(route.method);
  for (char& c : method) c = static_cast<char>(std::tolower(c));
  const auto path = paths.find(route.pattern);
  if (path == paths.end()) return nullptr;
  const auto call = path->find(method);
  return call == path->end() ? nullptr : &*call;
}

void collect_references(const json& value, std::set<std::string>& references) {
  if (value.is_object() && value.contains("$ref")) references.insert(value.at("$ref"));
  if (!value.is_structured()) return;
  for (const json& inside : value) collect_references(inside, references);
}

TEST(OpenApi, DescribesEachRouteAndNothingElse) {
  const json paths = document().at("paths");
  std::set<std::string> ids;
  std::size_t routes_described = 0;
  for (const Route& route : routes()) {
    SCOPED_TRACE(std::string(route.method) + " " + std::string(route.pattern));
    const json* call = described(paths, route);
    // Only the page itself stays out.
    ASSERT_EQ(call == nullptr, route.pattern.starts_with("/api/docs"));
    if (call == nullptr) continue;
    ++routes_described;
    EXPECT_TRUE(ids.insert(call->at("operationId")).second);
    EXPECT_EQ(call->at("summary"), route.summary);
    EXPECT_FALSE(route.summary.empty());
    const bool is_public = route.access == Access::Public || route.access == Access::Login ||
                           route.access == Access::Metrics;
    EXPECT_EQ(call->at("security").empty(), is_public);
    std::size_t parameters = route.query.size() + route.document.headers.size();
    for (const char* name : {"{id}", "{replay_id}"}) {
      if (route.pattern.find(name) != std::string_view::npos) ++parameters;
    }
    EXPECT_EQ(call->value("parameters", json::array()).size(), parameters);
    EXPECT_EQ(call->contains("requestBody"), route.method == "POST" || route.method == "PATCH");
    const json& answers = call->at("responses");
    EXPECT_TRUE(answers.contains(std::to_string(route.document.status)));
    for (const char* always : {"400", "431", "500", "503"}) EXPECT_TRUE(answers.contains(always));
    EXPECT_TRUE(answers.contains("401") || route.access == Access::Public);
  }
  std::size_t calls = 0;
  for (const json& path : paths) calls += path.size();
  EXPECT_EQ(calls, routes_described);
}

TEST(OpenApi, NamesTheServerByThePathOfItsPublicUrl) {
  const auto server = [](std::string_view public_url) {
    return document(public_url).at("servers").at(0).at("url");
  };
  EXPECT_EQ(server(""), "/");
  EXPECT_EQ(server("https://sluice.example.com"), "/");
  EXPECT_EQ(server("https://example.com:8443/sluice"), "/sluice");
}

TEST(OpenApi, EachReferenceLeadsSomewhereAndEachComponentIsUsed) {
  const json whole = document();
  std::set<std::string> references;
  collect_references(whole, references);
  for (const std::string& reference : references) {
    EXPECT_TRUE(whole.contains(json::json_pointer(reference.substr(1)))) << reference;
  }
  for (const auto& [kind, components] : whole.at("components").items()) {
    if (kind == "securitySchemes") continue;
    for (const auto& [name, component] : components.items()) {
      EXPECT_TRUE(references.contains("#/components/" + kind + "/" + name)) << kind << " " << name;
    }
  }
}

TEST(OpenApi, EveryRefusalIsAnErrorTriple) {
  const json whole = document();
  for (const auto& [name, response] : whole.at("components").at("responses").items()) {
    if (name.front() < '4' || name.front() > '5') continue;
    const json schema = response.at("content").at("application/json").at("schema");
    const json& triple = schema.contains("items") ? schema.at("items") : schema;
    EXPECT_EQ(triple.at("$ref"), "#/components/schemas/Error") << name;
  }
}

TEST(OpenApi, AConnectionTypeIsDescribedByItsSchema) {
  const json schemas = document().at("components").at("schemas");
  const json test = schemas.at("Test");
  EXPECT_EQ(test.at("properties").at("connection_type").at("const"), "Test");
  const json credentials = test.at("properties").at("credentials");
  EXPECT_EQ(credentials.at("required"), json::array({"url"}));
  EXPECT_EQ(credentials.at("additionalProperties"), false);
  EXPECT_EQ(credentials.at("properties").at("size"),
            (json{{"type", "integer"}, {"minimum", 1}, {"maximum", 10000}, {"default", 3000}}));
  EXPECT_EQ(credentials.at("properties").at("key").at("format"), "password");
  EXPECT_EQ(credentials.at("properties").at("headers").at("type"), "array");
  const json change = schemas.at("TestChange");
  EXPECT_FALSE(change.contains("required"));
  EXPECT_FALSE(change.at("properties").at("credentials").contains("required"));
  EXPECT_EQ(schemas.at("Destination").at("oneOf").size(), 1u);
}

TEST_F(ApiTest, TheDescriptionNeedsNoToken) {
  EXPECT_EQ(expect(200, send({"GET", "/api/openapi.json"})), document());
}

#ifndef SLUICE_API_DOCS
TEST_F(ApiTest, ThePageIsNotThereWhereItWasNotBuilt) {
  EXPECT_EQ(expect_token(send({"GET", "/api/docs"})), "NotFound");
}
#else
TEST_F(ApiTest, ThePageNeedsNoToken) {
  const http::Response page = send({"GET", "/api/docs"});
  EXPECT_EQ(page.status, 200);
  EXPECT_TRUE(page.content_type.starts_with("text/html"));
  EXPECT_EQ(page.body.find("//"), std::string::npos);  // nothing from elsewhere
  for (const Route& route : routes()) {
    if (!route.pattern.starts_with("/api/docs")) continue;
    const http::Response file = send({"GET", std::string(route.pattern)});
    EXPECT_EQ(file.status, 200);
    EXPECT_FALSE(file.body.empty());
    const std::pair<std::string, std::string>& policy = file.headers.at(0);
    EXPECT_EQ(policy.first, "Content-Security-Policy");
    EXPECT_NE(policy.second.find("default-src 'none'"), std::string::npos);
    EXPECT_EQ(policy.second.find("http"), std::string::npos);
  }
}
#endif

}  // namespace
}  // namespace sluice::api
