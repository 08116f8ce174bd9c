// `replaces`: one stream takes another's place.

#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sluice::api {
namespace {

using nlohmann::json;

class HandOverTest : public ApiTest {
 protected:
  http::Response replace(const json& replaces, const json& more = json::object()) {
    json body = {{"data_stream_type", 1},
                 {"replaces", replaces},
                 {"destination", {{"connection_type", "Test"}, {"credentials", {{"url", "u"}}}}}};
    body.update(more);
    return send(Role::Admin, 1, {"POST", "/api/v2/data_stream", body.dump()});
  }
  StreamId stand_at(std::uint64_t offset) {
    const StreamId stream{create().at("id")};
    dispatch::StreamSnapshot snapshot;
    snapshot.next_offset = Offset{offset};
    dispatch.set(stream, snapshot);
    return stream;
  }
  json show(StreamId stream) {
    return json::parse(
        send(Role::Viewer, 1, {"GET", "/api/v2/data_stream/" + std::to_string(stream.value())})
            .body);
  }
};

TEST_F(HandOverTest, TheNewStreamBeginsAtTheOthersCursor) {
  const StreamId former = stand_at(42);
  const http::Response response = replace(former.value());
  ASSERT_EQ(response.status, 201) << response.body;
  const json shown = json::parse(response.body);
  EXPECT_EQ(shown.at("hand_over"),
            (json{{"from", former.value()}, {"cursor", 42}, {"in_doubt", {42, 44}}}));
  EXPECT_EQ(shown.at("progress").at("next_offset"), 42);
  EXPECT_EQ(show(StreamId{shown.at("id")}).at("hand_over"), shown.at("hand_over"));
  EXPECT_EQ(dispatch.handed_over(former), StreamId{shown.at("id")});
  const json closed = show(former);
  EXPECT_EQ(closed.at("replaced_by"), shown.at("id"));
  EXPECT_EQ(closed.at("status").at("id"), 2);
}

TEST_F(HandOverTest, AClosedStreamCanOnlyBeDeleted) {
  const StreamId former = stand_at(42);
  ASSERT_EQ(replace(former.value()).status, 201);
  const std::string path = "/api/v2/data_stream/" + std::to_string(former.value());
  EXPECT_EQ(send(Role::Admin, 1, {"PATCH", path, R"({"status": {"id": 1}})"}).status, 409);
  EXPECT_EQ(send(Role::Admin, 1, {"POST", path + "/restart"}).status, 409);
  EXPECT_EQ(send(Role::Admin, 1, {"POST", path + "/skip", R"({"to": 50})"}).status, 409);
  EXPECT_EQ(send(Role::Admin, 1, {"POST", path + "/replay", R"({"from": 1, "to": 2})"}).status,
            409);
  EXPECT_EQ(send(Role::Admin, 1, {"POST", path + "/dead_letters/redrive"}).status, 409);
  EXPECT_EQ(replace(former.value()).status, 409);
  EXPECT_EQ(send(Role::Admin, 1, {"DELETE", path}).status, 202);
}

TEST_F(HandOverTest, RefusesWhatMakesNoSense) {
  const StreamId former = stand_at(42);
  EXPECT_EQ(replace(999).status, 422);
  EXPECT_EQ(replace("1").status, 422);
  EXPECT_EQ(replace(former.value(), {{"stream_historic_data", true}}).status, 422);
  EXPECT_EQ(replace(former.value(), {{"start_from", "2026-11-21T19:00:00Z"}}).status, 422);
  EXPECT_EQ(replace(former.value(), {{"data_stream_type", 2}}).status, 422);
  dispatch::StreamSnapshot disabled;
  disabled.status = catalog::StreamStatus::Disabled;
  dispatch.set(former, disabled);
  EXPECT_EQ(replace(former.value()).status, 409);
  EXPECT_FALSE(show(former).contains("replaced_by"));
}

TEST_F(HandOverTest, TheReplacedStreamDoesNotCountAndTheNewestTenAreKept) {
  StreamId former = stand_at(42);
  const StreamId first = former;
  while (send(Role::Admin, 1, {"POST", "/api/v2/data_stream", body_for("")}).status == 201) {
  }
  for (int i = 0; i < 10; ++i) {
    const http::Response response = replace(former.value());
    ASSERT_EQ(response.status, 201) << response.body;
    former = StreamId{json::parse(response.body).at("id")};
  }
  EXPECT_TRUE(show(first).contains("replaced_by"));
  ASSERT_EQ(replace(former.value()).status, 201);
  EXPECT_EQ(
      send(Role::Viewer, 1, {"GET", "/api/v2/data_stream/" + std::to_string(first.value())}).status,
      404);
}

}  // namespace
}  // namespace sluice::api
