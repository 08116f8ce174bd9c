#include "catalog/quarantine.h"

#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sluice::api {
namespace {

class QuarantineApiTest : public ApiTest {
 protected:
  void keep(std::string_view bytes, std::optional<OrganisationId> organisation = {}) {
    const catalog::RejectedRecords::Record record{0, organisation, "no id", bytes};
    ASSERT_TRUE(quarantine->add({.time = clock.now(),
                                 .kind = Kind::Usage,
                                 .subject = "feed",
                                 .records = std::span(&record, 1)}));
  }
  http::Response call(const std::string& method, const std::string& query = "") {
    return send(Role::Operator, 0, {.method = method, .target = "/api/v2/quarantine" + query});
  }
};

TEST_F(QuarantineApiTest, ListsWhatWasRejectedNewestFirst) {
  EXPECT_EQ(call("GET").body, R"({"items":[],"next":null})");
  keep("{\"a\":1}", OrganisationId{7});
  keep("\xff");
  const nlohmann::json list = expect(200, call("GET"));
  ASSERT_EQ(list["items"].size(), 2u);
  EXPECT_EQ(list["items"][0]["record_base64"], "/w==");
  EXPECT_FALSE(list["items"][0].contains("record"));
  EXPECT_EQ(list["items"][0]["organisation_id"], nullptr);
  const nlohmann::json& first = list["items"][1];
  EXPECT_EQ(first["record"], "{\"a\":1}");
  EXPECT_EQ(first["organisation_id"], 7);
  EXPECT_EQ(first["kind"], "usage");
  EXPECT_EQ(first["subject"], "feed");
  EXPECT_EQ(first["reason"], "no id");
  EXPECT_EQ(first["time"], "2026-11-21T20:00:00.000Z");
}

TEST_F(QuarantineApiTest, GoesThroughThePages) {
  for (const char* const bytes : {"1", "2", "3"}) keep(bytes);
  nlohmann::json page = expect(200, call("GET", "?limit=2"));
  EXPECT_EQ(page["items"][1]["record"], "2");
  page = expect(200, call("GET", "?limit=2&after=" + page["next"].get<std::string>()));
  ASSERT_EQ(page["items"].size(), 1u);
  EXPECT_EQ(page["items"][0]["record"], "1");
  EXPECT_EQ(page["next"], nullptr);
  for (const char* const query :
       {"?limit=0", "?limit=1001", "?limit=x", "?after=x", "?after=-1", "?since=1"}) {
    EXPECT_EQ(call("GET", query).status, 400) << query;
  }
}

TEST_F(QuarantineApiTest, ClearsAllOrWhatWasSeen) {
  for (const char* const bytes : {"1", "2", "3"}) keep(bytes);
  const auto list = expect(200, call("GET"));
  const auto seen = list["items"][1]["id"].get<std::uint64_t>();
  EXPECT_EQ(call("DELETE", "?up_to=" + std::to_string(seen)).body, R"({"deleted":2})");
  EXPECT_EQ(expect(200, call("GET"))["items"].size(), 1u);
  EXPECT_EQ(call("DELETE", "?up_to=all").status, 400);
  EXPECT_EQ(call("DELETE").body, R"({"deleted":1})");
}

TEST_F(QuarantineApiTest, IsTheOperatorsAlone) {
  for (const Role role : {Role::Admin, Role::Developer, Role::Viewer, Role::Ingest}) {
    EXPECT_EQ(send(role, 1, {.method = "GET", .target = "/api/v2/quarantine"}).status, 403);
    EXPECT_EQ(send(role, 1, {.method = "DELETE", .target = "/api/v2/quarantine"}).status, 403);
  }
}

}  // namespace
}  // namespace sluice::api
