// Replays and redrives as the API takes and shows them.

#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sluice::api {
namespace {

using nlohmann::json;

class ReplaysApiTest : public ApiTest {
 protected:
  ReplaysApiTest() : stream_(create().at("id")) {
    path_ = "/api/v2/data_stream/" + std::to_string(stream_.value());
  }
  http::Response call(const std::string& method, const std::string& path, const json& body = {}) {
    return send(Role::Admin, 1, {method, path_ + path, body.is_null() ? "" : body.dump()});
  }
  void stand_at(std::uint64_t offset) {
    dispatch::StreamSnapshot snapshot;
    snapshot.next_offset = Offset{offset};
    dispatch.set(stream_, snapshot);
  }
  void park(std::initializer_list<std::uint64_t> offsets) {
    std::vector<catalog::DeadLetter> letters;
    for (const std::uint64_t offset : offsets) {
      letters.push_back({Offset{offset}, {}, Kind::Event, WallTime{0}, "no", 400, "{}"});
    }
    ASSERT_TRUE(dead_letters->park(stream_, letters, {stream_, "state"}));
    dispatch::StreamSnapshot snapshot;
    snapshot.next_offset = Offset{100};
    snapshot.dead_letters = letters.size();
    dispatch.set(stream_, snapshot);
  }

  StreamId stream_;
  std::string path_;
};

TEST_F(ReplaysApiTest, ARangeIsClippedToTheCursor) {
  stand_at(50);
  const http::Response response = call("POST", "/replay", {{"from", 10}, {"to", 99}});
  ASSERT_EQ(response.status, 202) << response.body;
  const json shown = json::parse(response.body);
  EXPECT_EQ(shown.at("from"), 10);
  EXPECT_EQ(shown.at("to"), 49);
  const auto replay = dispatch.replay_under_way(stream_);
  ASSERT_TRUE(replay);
  EXPECT_EQ(replay->from, Offset{10});
  EXPECT_EQ(replay->to, Offset{50});
  EXPECT_FALSE(replay->of_dead_letters);
  // What dispatch knows of it, while it is under way.
  EXPECT_EQ(shown.at("state"), "waiting");
  EXPECT_EQ(shown.at("total"), 9);
  EXPECT_EQ(shown.at("sent"), 3);
  EXPECT_EQ(shown.at("parked"), 1);
  EXPECT_EQ(shown.at("error"), "slow");
  const http::Response again =
      call("GET", "/replay/" + std::to_string(shown.at("id").get<std::uint64_t>()));
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(json::parse(again.body), shown);
}

TEST_F(ReplaysApiTest, OneAtATimeUntilItIsCancelled) {
  stand_at(50);
  const json shown = json::parse(call("POST", "/replay", {{"from", 10}, {"to", 20}}).body);
  const std::string replay = "/replay/" + std::to_string(shown.at("id").get<std::uint64_t>());
  EXPECT_EQ(call("POST", "/replay", {{"from", 10}, {"to", 20}}).status, 409);
  EXPECT_EQ(call("DELETE", replay).status, 202);
  EXPECT_EQ(call("DELETE", "/replay/77").status, 404);
  // The fake ends nothing in the catalog.
  catalog::Replay row = **replays->find(stream_, ReplayId{shown.at("id")});
  row.state = catalog::ReplayState::Cancelled;
  ASSERT_TRUE(replays->update(row));
  EXPECT_EQ(json::parse(call("GET", replay).body).at("state"), "cancelled");
  EXPECT_EQ(call("DELETE", replay).status, 409);
  EXPECT_EQ(call("POST", "/replay", {{"from", 10}, {"to", 20}}).status, 202);
}

TEST_F(ReplaysApiTest, NothingToSendIsDoneAtOnce) {
  stand_at(5);
  const http::Response response = call("POST", "/replay", {{"from", 10}, {"to", 20}});
  ASSERT_EQ(response.status, 202);
  EXPECT_EQ(json::parse(response.body).at("state"), "done");
  EXPECT_EQ(json::parse(response.body).at("total"), 0);
  EXPECT_FALSE(dispatch.replay_under_way(stream_));
}

TEST_F(ReplaysApiTest, RefusesWhatMakesNoSense) {
  stand_at(50);
  for (const json& body : {json::object(), json{{"from", 1}}, json{{"from", 1}, {"to", "soon"}},
                           json{{"from", 9}, {"to", 8}}, json{{"from", 1}, {"to", 2}, {"x", 1}},
                           json{{"from", 1}, {"to", 2}, {"dry_run", "yes"}}, json::array(),
                           json{{"from", 1}, {"to", 2}, {"filters", "all"}}}) {
    EXPECT_EQ(call("POST", "/replay", body).status, 422) << body;
  }
  dispatch::StreamSnapshot disabled;
  disabled.status = catalog::StreamStatus::Disabled;
  dispatch.set(stream_, disabled);
  EXPECT_EQ(call("POST", "/replay", {{"from", 1}, {"to", 2}}).status, 409);
  EXPECT_EQ(call("POST", "/dead_letters/redrive").status, 409);
}

TEST_F(ReplaysApiTest, RedrivesAllOrWhatIsNamed) {
  park({3, 5, 9});
  const http::Response response = call("POST", "/dead_letters/redrive", {{"offsets", {9, 5}}});
  ASSERT_EQ(response.status, 202) << response.body;
  EXPECT_EQ(json::parse(response.body).at("dead_letters"), 2);
  auto replay = dispatch.replay_under_way(stream_);
  ASSERT_TRUE(replay);
  EXPECT_TRUE(replay->of_dead_letters);
  EXPECT_EQ(replay->from, Offset{5});
  EXPECT_EQ(replay->to, Offset{10});
  EXPECT_EQ(dead_letters->marked(stream_, {}, 9)->letters.size(), 2u);

  replay->state = catalog::ReplayState::Done;
  ASSERT_TRUE(replays->update(*replay));
  EXPECT_EQ(json::parse(call("POST", "/dead_letters/redrive").body).at("dead_letters"), 3);
}

TEST_F(ReplaysApiTest, RedrivesNothingWhereOneIsMissing) {
  park({3});
  EXPECT_EQ(call("POST", "/dead_letters/redrive", {{"offsets", {3, 4}}}).status, 422);
  EXPECT_EQ(dead_letters->marked(stream_, {}, 9)->letters.size(), 0u);
  EXPECT_FALSE(dispatch.replay_under_way(stream_));
  for (const json& body :
       {json{{"offsets", 3}}, json{{"offsets", json::array()}}, json{{"offsets", {"3"}}},
        json{{"offsets", "3"}}, json{{"offset", {3}}}}) {
    const http::Response answer = call("POST", "/dead_letters/redrive", body);
    EXPECT_EQ(answer.status, 422) << body;
    EXPECT_EQ(json::parse(answer.body).at("errors").size(), 1u) << answer.body;
  }
}

TEST_F(ReplaysApiTest, RedriveWithoutDeadLettersSaysSo) {
  stand_at(50);
  const http::Response response = call("POST", "/dead_letters/redrive");
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(json::parse(response.body), (json{{"id", nullptr}, {"dead_letters", 0}}));
}

}  // namespace
}  // namespace sluice::api
