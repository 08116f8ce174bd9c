#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sluice::api {
namespace {

using nlohmann::json;

class DeadLettersApiTest : public ApiTest {
 protected:
  DeadLettersApiTest() : id_(create().at("id")) {}

  std::string path(std::string_view rest) const {
    return "/api/v2/data_stream/" + std::to_string(id_) + std::string(rest);
  }
  void park(std::initializer_list<std::uint64_t> offsets) {
    std::vector<catalog::DeadLetter> letters;
    for (const std::uint64_t offset : offsets) {
      letters.push_back({Offset{offset},
                         {.id = 7},
                         Kind::Event,
                         WallTime{1000},
                         "400 no",
                         400,
                         R"({"id": 7, "b": 1, "a": 2})"});
    }
    ASSERT_TRUE(dead_letters->park(StreamId{id_}, letters, {StreamId{id_}, ""}));
  }
  http::Response skip(const std::string& body) {
    return send(Role::Developer, 1, {"POST", path("/skip"), body});
  }

  std::uint64_t id_;
};

TEST_F(DeadLettersApiTest, ListsThemPageByPageAndDeletesThem) {
  park({3, 9, 5});
  http::Response answer = send(Role::Viewer, 1, {"GET", path("/dead_letters?limit=2")});
  ASSERT_EQ(answer.status, 200);
  json page = json::parse(answer.body);
  ASSERT_EQ(page.at("items").size(), 2u);
  EXPECT_EQ(page.at("items")[0], json::parse(R"({"offset": 3, "id": 7, "kind": "event", "time":
            "1970-01-01T00:00:01.000Z", "reason": "400 no", "status": 400,
            "record": {"id": 7, "b": 1, "a": 2}})"));
  answer = send(Role::Viewer, 1,
                {"GET", path("/dead_letters?after=") + page.at("next").get<std::string>()});
  page = json::parse(answer.body);
  ASSERT_EQ(page.at("items").size(), 1u);
  EXPECT_EQ(page.at("items")[0].at("offset"), 9);
  EXPECT_TRUE(page.at("next").is_null());

  EXPECT_EQ(send(Role::Developer, 1, {"DELETE", path("/dead_letters")}).status, 403);
  answer = send(Role::Admin, 1, {"DELETE", path("/dead_letters")});
  EXPECT_EQ(json::parse(answer.body), json::parse(R"({"deleted": 3})"));
  EXPECT_EQ(dead_letters->count(StreamId{id_}), 0u);
}

TEST_F(DeadLettersApiTest, ShowsARecordByteForByte) {
  const std::string record = R"({"z":1e400, "id": 7,"n":12345678901234567890123,"cost":1.10})";
  const std::vector<catalog::DeadLetter> letters = {
      {Offset{3}, {.id = 7}, Kind::Usage, WallTime{0}, "it said \"no\"", std::nullopt, record}};
  ASSERT_TRUE(dead_letters->park(StreamId{id_}, letters, {StreamId{id_}, ""}));
  const http::Response answer = send(Role::Viewer, 1, {"GET", path("/dead_letters")});
  ASSERT_EQ(answer.status, 200);
  EXPECT_NE(answer.body.find(R"("reason":"it said \"no\"","status":null,"record":)" + record),
            std::string::npos)
      << answer.body;
}

TEST_F(DeadLettersApiTest, SkipIsTakenUpToAndWithThePlaceInPausedAlone) {
  EXPECT_EQ(skip(R"({"to": 4})").status, 409);
  send(Role::Developer, 1, {"PATCH", path(""), R"({"status": 2})"});
  EXPECT_EQ(skip(R"({"to": 4, "park": false})").status, 202);
  EXPECT_EQ(dispatch.snapshot(StreamId{id_})->next_offset, Offset{5});
  EXPECT_EQ(skip(R"({"to": "9"})").status, 202);
  EXPECT_EQ(dispatch.snapshot(StreamId{id_})->next_offset, Offset{10});
}

TEST_F(DeadLettersApiTest, SkipRefusesWhatMakesNoSense) {
  for (const char* body : {R"({})", R"({"to": -1})", R"({"to": "then"})", R"({"to": 1, "x": 2})",
                           R"({"to": 1, "park": 1})", "[]"}) {
    EXPECT_EQ(skip(body).status, 422) << body;
  }
  EXPECT_EQ(skip("{").status, 400);
}

}  // namespace
}  // namespace sluice::api
