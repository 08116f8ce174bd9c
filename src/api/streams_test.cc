// The data_stream calls.

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/api_fixture.h"
#include "filters/filter.h"

namespace sluice::api {
namespace {

using nlohmann::json;

const std::string kList = "/api/v2/data_stream";

class StreamsTest : public ApiTest {
 protected:
  http::Response post(const std::string& body, const std::string& query = "") {
    return send(Role::Admin, 1, {"POST", kList + query, body});
  }
  http::Response patch(const json& stream, const std::string& body) {
    return send(Role::Developer, 1, {"PATCH", path(stream), body});
  }
  json get(const json& stream) { return expect(200, send(Role::Viewer, 1, {"GET", path(stream)})); }
  static std::string path(const json& stream) {
    return kList + "/" + std::to_string(stream.at("id").get<std::uint64_t>());
  }
  std::size_t listed() { return expect(200, send(Role::Viewer, 1, {"GET", kList})).size(); }
  // The properties that the 422 names, in its order.
  std::vector<std::string> named(const http::Response& response) {
    std::vector<std::string> properties;
    const json body = expect(422, response);
    if (!body.is_object()) return properties;
    EXPECT_EQ(expect_token(response), "InvalidStream");
    for (const json& error : body.at("errors")) {
      properties.push_back(error.at("property"));
      EXPECT_FALSE(error.at("message").get<std::string>().empty());
    }
    return properties;
  }
};

using Names = std::vector<std::string>;

TEST_F(StreamsTest, ACreatedStreamHasTheShapeOfTheSpecification) {
  const http::Response response = post(body_for(R"(, "name": "usage to lake")"));
  const auto location =
      std::ranges::find(response.headers, "Location", &std::pair<std::string, std::string>::first);
  ASSERT_NE(location, response.headers.end());
  EXPECT_EQ(location->second, "/api/v2/data_stream/1");
  const std::string expected =
      R"({"id":1,"name":"usage to lake","organisation":{"id":1,"name":"One"},)"
      R"("data_stream_type":{"id":1,"description":"Usage Data"},)"
      R"("destination":{"connection_type":"Test","format":"Json",)"
      R"("credentials":{"url":"http://a/","headers":["X-Key:***"],"key":"***","size":3000}},)"
      R"("filters":[],"stream_historic_data":false,"labels":["name"],)"
      R"("delivery":{"preset":"emnify"},"status":{"id":1,"description":"Running"},)"
      R"("remote_status":null,"last_error":null,)"
      R"("progress":{"delivered":0,"lag_records":0,"lag_s":0,"next_offset":42,)"
      R"("next_attempt":null,"dead_letters":0,"dropped":0,"aged_out":0,"damaged":0,)"
      R"("skipped":0},)"
      R"("created":"2026-11-21T20:00:00.000Z","updated":"2026-11-21T20:00:00.000Z"})";
  EXPECT_EQ(response.body, expected);
  EXPECT_EQ(send(Role::Viewer, 1, {"GET", kList + "/1"}).body, expected);
  EXPECT_EQ(send(Role::Viewer, 1, {"GET", kList}).body, "[" + expected + "]");
  EXPECT_EQ(dispatch.size(), 1u);
  // The catalog has the secret, or nothing could be delivered.
  EXPECT_NE((**catalog->stream(OrganisationId{1}, StreamId{1})).destination.find("s3cret"),
            std::string::npos);
}

TEST_F(StreamsTest, ShowsWhatDispatchKnows) {
  const json stream = create();
  dispatch::StreamSnapshot snapshot;
  snapshot.status = catalog::StreamStatus::Error;
  snapshot.last_error = "answered 401";
  snapshot.remote_status = 401;
  snapshot.delivered = 10;
  snapshot.next_offset = Offset{1ull << 53};
  snapshot.lag_records = 3;
  snapshot.lag_s = 4;
  snapshot.next_attempt = WallTime{1'795'291'200'500};
  snapshot.dropped = 5;
  dispatch.set(StreamId{1}, snapshot);
  const json shown = get(stream);
  EXPECT_EQ(shown.at("status"), (json{{"id", 3}, {"description", "Error"}}));
  EXPECT_EQ(shown.at("last_error"), "answered 401");
  EXPECT_EQ(shown.at("remote_status"), 401);
  EXPECT_EQ(shown.at("progress").at("next_offset"), 1ull << 53);
  EXPECT_EQ(shown.at("progress").at("next_attempt"), "2026-11-21T20:00:00.500Z");
  EXPECT_EQ(shown.at("progress").at("dropped"), 5);
  EXPECT_FALSE(shown.contains("disabled_by"));
  snapshot.status = catalog::StreamStatus::Disabled;
  dispatch.set(StreamId{1}, snapshot);
  EXPECT_EQ(get(stream).at("disabled_by"), "user");
}

TEST_F(StreamsTest, ListsNewestFirst) {
  create();
  create();
  create(2);
  const json list = expect(200, send(Role::Viewer, 1, {"GET", kList}));
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].at("id"), 2);
  EXPECT_EQ(list[1].at("id"), 1);
}

TEST_F(StreamsTest, TakesTheFormsThatTheSpecificationAllows) {
  const auto made = [this](const std::string& more) {
    json stream = expect(201, post(body_for(more)));
    send(Role::Admin, 1, {"DELETE", path(stream)});
    return stream;
  };
  EXPECT_EQ(made(R"(, "data_stream_type": 2)").at("data_stream_type").at("description"), "Events");
  EXPECT_EQ(made(R"(, "data_stream_type": {"id": 3, "description": "x"})")
                .at("data_stream_type")
                .at("description"),
            "Usage Data & Events");
  EXPECT_EQ(made(R"(, "status": {"id": 2})").at("status").at("description"), "Paused");
  EXPECT_EQ(made(R"(, "status": 2)").at("status").at("id"), 2);
  EXPECT_EQ(made(R"(, "status": {"id": 1})").at("status").at("id"), 1);
  for (const char* empty : {R"(, "filters": [], "replaces": null)", ""}) {
    EXPECT_EQ(made(empty).at("filters"), json::array());
  }
  EXPECT_EQ(made(R"(, "labels": [])").at("labels"), json::array());
  EXPECT_EQ(made(R"(, "labels": ["name", "room"])").at("labels"), (json{"name", "room"}));
  const std::string kHarmless = R"("signing": {"scheme": "none"}, "auth": null, "ca": null)";
  EXPECT_EQ(made(R"(, "destination": {"connection_type": "Test", "credentials": {"url": "u"}, )" +
                 kHarmless + "}")
                .at("destination")
                .at("format"),
            "Json");
  EXPECT_EQ(made(R"(, "delivery": {"timeout_ms": 100})").at("delivery"),
            (json{{"preset", "emnify"}, {"timeout_ms", 100}}));
  const json relation = json::parse(R"({"a": [1, "x", null, {}]})");
  EXPECT_EQ(made(R"(, "relation_resolution": )" + relation.dump()).at("relation_resolution"),
            relation);
  EXPECT_EQ(made(R"(, "name": "a", "name": "b")").at("name"), "b");
}

TEST_F(StreamsTest, BeginsWhereItIsTold) {
  const auto start = [this](const std::string& more) {
    log.asked_for.reset();
    const json stream = expect(201, post(body_for(more)));
    const std::uint64_t next = stream.at("progress").at("next_offset");
    send(Role::Admin, 1, {"DELETE", path(stream)});
    return next;
  };
  EXPECT_EQ(start(""), 42u);
  EXPECT_EQ(start(R"(, "stream_historic_data": false)"), 42u);
  EXPECT_EQ(start(R"(, "stream_historic_data": 0)"), 42u);
  EXPECT_EQ(log.asked_for, std::nullopt);
  for (const char* historic : {"true", "1"}) {
    EXPECT_EQ(start(std::string(R"(, "stream_historic_data": )") + historic), 7u);
    EXPECT_EQ(log.asked_for, WallTime{clock.now().ms - 20 * 86'400'000ll});
  }
  EXPECT_EQ(start(R"(, "start_from": "2026-11-21T19:59:59.5Z")"), 7u);
  EXPECT_EQ(log.asked_for, WallTime{clock.now().ms - 500});
}

TEST_F(StreamsTest, NamesEveryFaultAndCreatesNothing) {
  const std::string body = R"({"colour": 1, "name": 7, "data_stream_type": 9,
      "destination": {"connection_type": "Test", "format": "Xml", "shade": 1,
        "credentials": {"size": 0, "pace": 1}},
      "delivery": {"timeout_ms": 1, "tempo": 1}, "stream_historic_data": "yes",
      "start_from": "now", "status": 3})";
  EXPECT_EQ(named(post(body)),
            (Names{"colour", "name", "data_stream_type", "stream_historic_data", "start_from",
                   "destination.shade", "destination.format", "destination.credentials.pace",
                   "destination.credentials.url", "destination.credentials.size",
                   "delivery.timeout_ms", "delivery.tempo", "status"}));
  EXPECT_EQ(named(post("{}")), (Names{"data_stream_type", "destination"}));
  EXPECT_EQ(named(post("[]")), Names{"body"});
  EXPECT_EQ(named(post("7")), Names{"body"});
  EXPECT_EQ(listed(), 0u);
  EXPECT_EQ(dispatch.size(), 0u);
  EXPECT_EQ(checks_made, 0);
}

TEST_F(StreamsTest, NamesTheFaultOfEachProperty) {
  const std::vector<std::pair<const char*, const char*>> wrong = {
      {R"("data_stream_type": null)", "data_stream_type"},
      {R"("data_stream_type": "1")", "data_stream_type"},
      {R"("data_stream_type": {"id": "1"})", "data_stream_type"},
      {R"("data_stream_type": {})", "data_stream_type"},
      {R"("data_stream_type": 0)", "data_stream_type"},
      {R"("data_stream_type": 4)", "data_stream_type"},
      {R"("destination": null)", "destination"},
      {R"("destination": [])", "destination"},
      {R"("destination": {})", "destination.connection_type"},
      {R"("destination": {"connection_type": 1})", "destination.connection_type"},
      {R"("destination": {"connection_type": "test"})", "destination.connection_type"},
      {R"("destination": {"connection_type": "Test"})", "destination.credentials.url"},
      {R"("destination": {"connection_type": "Test", "credentials": 1})",
       "destination.credentials"},
      {R"("destination": {"connection_type": "Test", "credentials": {"url": "ftp://a/"}})",
       "destination.credentials.url"},
      {R"("name": null)", "name"},
      {R"("delivery": null)", "delivery"},
      {R"("delivery": {"preset": "1nce"})", "delivery.preset"},
      {R"("start_from": 5)", "start_from"},
      {R"("start_from": "2026-11-21T20:00:01Z")", "start_from"},
      {R"("start_from": "2026-11-21T19:00:00Z", "stream_historic_data": true)", "start_from"},
      {R"("stream_historic_data": 2)", "stream_historic_data"},
      {R"("stream_historic_data": null)", "stream_historic_data"},
      {R"("status": 5)", "status"},
      {R"("status": null)", "status"},
      {R"("filters": {})", "filters"},
      {R"("filters": null)", "filters"},
      {R"("labels": {})", "labels"},
      {R"("labels": null)", "labels"},
      {R"("labels": ["name", ""])", "labels[1]"},
      {R"("labels": [7])", "labels[0]"},
      {R"("data_stream_type": {"id": 2, "colour": 1})", "data_stream_type.colour"},
      {R"("status": {"id": 2, "colour": 1})", "status.colour"},
      {R"("replaces": 5)", "replaces"},
  };
  for (const auto& [property, name] : wrong) {
    EXPECT_EQ(named(post(body_for(std::string(", ") + property))), Names{name}) << property;
  }
  for (const char* later : {R"("format": "CloudEvents")"}) {
    const std::string body = std::string(R"({"data_stream_type": 1, "destination": {)") + later +
                             R"(, "connection_type": "Test", "credentials": {"url": "u"}}})";
    const http::Response response = post(body);
    EXPECT_EQ(named(response).size(), 1u) << later;
    EXPECT_NE(response.body.find("not available yet"), std::string::npos) << response.body;
  }
  const std::string long_name = R"(, "name": ")" + std::string(501, 'x') + "\"";
  EXPECT_EQ(named(post(body_for(long_name))), Names{"name"});
  EXPECT_EQ(listed(), 0u);
}

TEST_F(StreamsTest, AMessageNamesThePropertiesAndHasABound) {
  const json one = expect(422, post(body_for(R"(, "colour": 1)")));
  EXPECT_EQ(one.at("message"), "colour: unknown property");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += R"(, "p)" + std::to_string(i) + R"(": 1)";
  many += R"(, ")" + std::string(5000, 'x') + R"(": 1)";
  const json body = expect(422, post(body_for(many)));
  EXPECT_EQ(body.at("errors").size(), 100u);
  EXPECT_LT(body.at("message").get<std::string>().size(), 2000u);
}

TEST_F(StreamsTest, ABodyThatIsNoJsonIs400AndSaysWhere) {
  for (const char* body : {"", "{", "{} {}", "\xff", "nope"}) {
    for (const Call& call :
         {Call{"POST", kList, body}, Call{"PATCH", path(json{{"id", 1}}), body}}) {
      if (call.method == "PATCH" && dispatch.size() == 0) create();
      const http::Response response = send(Role::Admin, 1, call);
      EXPECT_EQ(response.status, 400) << body;
      EXPECT_EQ(expect_token(response), "MalformedBody");
    }
  }
}

TEST_F(StreamsTest, ADestinationThatFailsItsCheckIsRefusedUnlessToldNotToLook) {
  check_finds = Error{ErrorCode::Unavailable, "connection refused"};
  const http::Response response = post(body_for());
  EXPECT_EQ(response.status, 422);
  EXPECT_EQ(expect_token(response), "DestinationCheckFailed");
  EXPECT_NE(response.body.find("connection refused"), std::string::npos);
  EXPECT_EQ(listed(), 0u);
  EXPECT_EQ(checks_made, 1);
  expect(201, post(body_for(), "?validate=false"));
  EXPECT_EQ(checks_made, 1);
  EXPECT_EQ(expect_token(post(body_for(), "?validate=maybe")), "BadQuery");
}

TEST_F(StreamsTest, TenIsTheLimit) {
  for (int i = 0; i < 10; ++i) create();
  const http::Response response = post(body_for());
  EXPECT_EQ(response.status, 422);
  EXPECT_EQ(expect_token(response), "StreamLimit");
  EXPECT_EQ(checks_made, 10);  // nobody was bothered
  create(2);
  send(Role::Admin, 1, {"DELETE", kList + "/3"});
  create();
}

TEST_F(StreamsTest, ADeletedStreamIsGone) {
  const json stream = create();
  const http::Response response = send(Role::Admin, 1, {"DELETE", path(stream)});
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(dispatch.size(), 0u);
  for (const Call& call :
       {Call{"GET", path(stream)}, Call{"DELETE", path(stream)}, Call{"PATCH", path(stream), "{}"},
        Call{"POST", path(stream) + "/restart"}}) {
    const http::Response again = send(Role::Admin, 1, call);
    EXPECT_EQ(again.status, 404) << call.method;
    EXPECT_EQ(expect_token(again), "NotFound");
  }
  EXPECT_EQ(create().at("id"), 2);
}

TEST_F(StreamsTest, LookUpsListWhatIsThere) {
  const auto look_up = [this](const char* name) {
    return expect(200, send(Role::Viewer, 1, {"GET", kList + "/" + name})).dump();
  };
  EXPECT_EQ(look_up("status"),
            R"([{"description":"Running","id":1},{"description":"Paused","id":2},)"
            R"({"description":"Error","id":3},{"description":"Pending","id":4},)"
            R"({"description":"Disabled","id":5}])");
  EXPECT_EQ(look_up("type"),
            R"([{"description":"Usage Data","id":1},{"description":"Events","id":2},)"
            R"({"description":"Usage Data & Events","id":3}])");
  EXPECT_EQ(look_up("connection_type"), R"([{"description":"Test","id":1}])");
  const json fields = json::parse(look_up("filter_field_type"));
  ASSERT_EQ(fields.size(), filters::fields().size());
  for (std::size_t i = 0; i < fields.size(); ++i) {
    EXPECT_EQ(fields[i].at("id"), filters::fields()[i].id);
    EXPECT_EQ(fields[i].at("description"), filters::fields()[i].name);
  }
}

TEST_F(StreamsTest, NoAnswerEverHoldsASecret) {
  const json stream = create();
  std::string answers;
  for (const Call& call :
       {Call{"GET", kList}, Call{"GET", path(stream)},
        Call{"PATCH", path(stream), R"({"name":"x"})"},
        Call{"PATCH", path(stream), R"({"destination":{"credentials":{"key":"s3cret"}}})"},
        Call{"POST", path(stream) + "/restart"},
        Call{"POST", kList, body_for(R"(, "x": "s3cret")")},
        Call{"POST", kList, body_for(R"(, "x": "s3cret)")}, Call{"GET", "/metrics"}}) {
    answers += send(Role::Operator, 1, call).body;
  }
  EXPECT_EQ(answers.find("s3cret"), std::string::npos) << answers;
}

}  // namespace
}  // namespace sluice::api
