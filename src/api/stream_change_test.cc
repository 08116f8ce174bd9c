// PATCH and restart: what may change, what must come anew, what is refused.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sluice::api {
namespace {

using nlohmann::json;
using Names = std::vector<std::string>;

const std::string kList = "/api/v2/data_stream";

class StreamChangeTest : public ApiTest {
 protected:
  StreamChangeTest() : stream_(create()) {}

  static std::string path() { return kList + "/1"; }
  http::Response patch(const json& body, const std::string& query = "") {
    return send(Role::Developer, 1, {"PATCH", path() + query, body.dump()});
  }
  http::Response restart(const std::string& body = "") {
    return send(Role::Developer, 1, {"POST", path() + "/restart", body});
  }
  json get() { return expect(200, send(Role::Viewer, 1, {"GET", path()})); }
  json patch_credentials(int status, const json& credentials) {
    return expect(status, patch({{"destination", {{"credentials", credentials}}}}));
  }
  // The properties that a PATCH's 422 names, in its order.
  Names named(const http::Response& response) {
    Names properties;
    for (const json& error : expect(422, response)) {
      EXPECT_EQ(error.size(), 3u);
      EXPECT_EQ(error.at("error_token"), "InvalidStream");
      EXPECT_EQ(error.at("error_code"), 4220);
      const std::string message = error.at("message");
      properties.push_back(message.substr(0, message.find(':')));
    }
    return properties;
  }
  json credentials() const {  // as they are kept, in clear
    return json::parse((**catalog->stream(StreamId{1})).destination).at("credentials");
  }
  catalog::Stream stored() const { return **catalog->stream(StreamId{1}); }
  void set_status(catalog::StreamStatus status) {
    dispatch::StreamSnapshot snapshot;
    snapshot.status = status;
    dispatch.set(StreamId{1}, snapshot);
  }

  const json stream_;
};

TEST_F(StreamChangeTest, StatusMovesAsTheTableOfCommandsSays) {
  const auto status_after = [&](int status, const json& body) -> json {
    const http::Response response = patch(body);
    EXPECT_EQ(response.status, status) << response.body;
    return get().at("status").at("id");
  };
  const auto to = [](int id) { return json{{"status", {{"id", id}}}}; };
  EXPECT_EQ(status_after(202, to(1)), 1);
  EXPECT_EQ(restart().status, 202);
  EXPECT_EQ(status_after(202, to(2)), 2);
  EXPECT_EQ(status_after(202, {{"status", 2}}), 2);
  EXPECT_EQ(restart().status, 409);
  EXPECT_EQ(status_after(202, {{"status", {{"id", 1}, {"description", "x"}}}}), 1);

  EXPECT_EQ(status_after(202, to(5)), 5);
  EXPECT_EQ(restart().status, 409);
  EXPECT_EQ(status_after(409, to(2)), 5);
  EXPECT_EQ(status_after(202, to(1)), 1);

  set_status(catalog::StreamStatus::Error);
  EXPECT_EQ(status_after(409, {{"status", 1}, {"name", "not taken"}}), 3);
  EXPECT_EQ(get().at("name"), "");
  EXPECT_EQ(expect_token(patch(to(1))), "Conflict");
  EXPECT_EQ(status_after(202, to(3)), 3);  // what it is already
  EXPECT_EQ(restart("{}").status, 202);
  EXPECT_EQ(get().at("status").at("id"), 1);
}

TEST_F(StreamChangeTest, ARestartTakesNoSettings) {
  EXPECT_EQ(restart(R"({"status": 1})").status, 422);
  EXPECT_EQ(restart("[]").status, 422);
  EXPECT_EQ(restart("{").status, 400);
  EXPECT_EQ(restart(R"({})").status, 202);
}

TEST_F(StreamChangeTest, TakesBackWhatAGetGave) {
  json stream = get();
  EXPECT_EQ(expect(202, patch(stream)), stream);
  EXPECT_EQ(expect(202, patch(json::object())), stream);
  EXPECT_TRUE(dispatch.changes().empty());
  EXPECT_EQ(checks_made, 1);  // the creation's
  stream["name"] = "renamed";
  stream["relation_resolution"] = false;
  const json changed = expect(202, patch(stream));
  EXPECT_EQ(changed.at("name"), "renamed");
  EXPECT_EQ(get(), changed);
  EXPECT_EQ(stored().render_revision, 0u);
  EXPECT_EQ(stored().filter_revision, 0u);
  // Parts of what is there, and bare ids.
  expect(202, patch(json::parse(R"({"data_stream_type": 1, "organisation": {"id": 1},
      "stream_historic_data": 0, "destination": {"credentials": {"size": 3000}}})")));
  EXPECT_EQ(dispatch.changes().size(), 1u);
}

// Between the GET and the PATCH the stream went on delivering.
TEST_F(StreamChangeTest, WhatTheServerMovesItselfIsTakenAtAnyValue) {
  json stream = get();
  dispatch::StreamSnapshot moved;
  moved.delivered = 99;
  moved.next_offset = Offset{77};
  moved.remote_status = 503;
  moved.last_error = "answered 503";
  dispatch.set(StreamId{1}, moved);
  stream["status"]["description"] = "Pending";
  stream["updated"] = "2026-01-01T00:00:00.000Z";
  stream["name"] = "renamed";
  const json changed = expect(202, patch(stream));
  EXPECT_EQ(changed.at("name"), "renamed");
  EXPECT_EQ(changed.at("progress").at("delivered"), 99);
}

TEST_F(StreamChangeTest, WhatCannotBeHasOneTripleAFault) {
  const json stream = get();
  EXPECT_EQ(named(patch(json::parse(R"({"id": 2, "colour": 1, "name": "x",
      "data_stream_type": 2, "destination": {"credentials": {"size": 0}, "shade": 1},
      "delivery": {"timeout_ms": 1, "tempo": 1}, "filters": {}, "labels": 7,
      "status": 4, "created": "2026", "stream_historic_data": true, "organisation": {"id": 2},
      "replaces": 1, "start_from": "2026-11-21T19:00:00Z"})"))),
            (Names{"colour", "created", "data_stream_type", "delivery.timeout_ms", "delivery.tempo",
                   "destination.shade", "destination.credentials.size", "filters", "id", "labels",
                   "organisation", "replaces", "start_from", "status", "stream_historic_data"}));
  EXPECT_EQ(get(), stream);
  EXPECT_TRUE(dispatch.changes().empty());
  for (const char* body :
       {"[]", "1", "null", R"({"status": null})", R"({"status": 4})", R"({"status": "1"})",
        R"({"name": null})", R"({"destination": 1})", R"({"destination": {"credentials": null}})",
        R"({"delivery": null})", R"({"status": {"id": 2, "colour": 1}})"}) {
    EXPECT_EQ(expect(422, patch(json::parse(body))).size(), 1u) << body;
  }
}

TEST_F(StreamChangeTest, CredentialsMergeAndStarsKeepWhatIsStored) {
  const json shown = patch_credentials(202, {{"size", 1}});
  EXPECT_EQ(shown.at("destination").at("credentials"),
            json::parse(R"({"url": "http://a/", "headers": ["X-Key:***"], "key": "***",
                            "size": 1})"));
  EXPECT_EQ(credentials(), json::parse(R"({"url": "http://a/", "headers": ["X-Key: s3cret"],
                                           "key": "s3cret", "size": 1})"));
  patch_credentials(202, json::parse(R"({"key": "***", "url": "http://a/other",
                                         "headers": ["X-New: n", "x-key: ***"]})"));
  EXPECT_EQ(credentials(),
            json::parse(R"({"url": "http://a/other", "headers": ["X-New: n", "X-Key: s3cret"],
                            "key": "s3cret", "size": 1})"));
  patch_credentials(202, {{"key", nullptr}, {"size", nullptr}});  // back to the defaults
  EXPECT_EQ(credentials(), json::parse(R"({"url": "http://a/other", "size": 3000,
                                           "headers": ["X-New: n", "X-Key: s3cret"]})"));
  EXPECT_EQ(dispatch.changes().back().destination, stored().destination);
}

TEST_F(StreamChangeTest, StarsForWhatIsNotStoredAreRefused) {
  const auto refused = [this](const char* text) {
    return named(patch({{"destination", {{"credentials", json::parse(text)}}}}));
  };
  const Names headers = {"destination.credentials.headers"};
  EXPECT_EQ(refused(R"({"headers": ["X-Other: ***"]})"), headers);
  EXPECT_EQ(refused(R"({"headers": ["X-Key: ***", "X-Key: ***"]})"), headers);
  EXPECT_EQ(refused(R"({"headers": "***"})"), headers);
  EXPECT_EQ(refused(R"({"url": null})"), Names{"destination.credentials.url"});
  patch_credentials(202, {{"key", nullptr}});
  EXPECT_EQ(refused(R"({"key": "***"})"), Names{"destination.credentials.key"});
}

TEST_F(StreamChangeTest, SecretsComeAnewWhenTheyWouldGoElsewhere) {
  const Names both = {"destination.credentials.headers", "destination.credentials.key"};
  const auto refused = [this](const char* text) {
    return named(patch({{"destination", {{"credentials", json::parse(text)}}}}));
  };
  for (const char* url : {"http://b/", "https://a/", "http://a:8080/", "http://a.b/"}) {
    EXPECT_EQ(refused((R"({"url": ")" + std::string(url) + "\"}").c_str()), both) << url;
  }
  EXPECT_EQ(refused(R"({"url": "http://b/", "key": "***", "headers": ["X-Key: ***"]})"), both);
  EXPECT_EQ(refused(R"({"url": "http://b/", "key": "new"})"),
            Names{"destination.credentials.headers"});
  EXPECT_EQ(refused(R"({"url": "http://b/", "key": "k", "headers": ["A: 1", "X-Key: ***"]})"),
            Names{"destination.credentials.headers"});
  EXPECT_EQ(credentials().at("url"), "http://a/");
  EXPECT_EQ(checks_made, 1);

  patch_credentials(202, json::parse(R"({"url": "http://a:80/p?q"})"));  // the same host and port
  patch_credentials(202, json::parse(R"({"url": "http://b/", "key": "k", "headers": ["A: 1"]})"));
  EXPECT_EQ(credentials().at("key"), "k");
  patch_credentials(202, json::parse(R"({"url": "http://c/", "key": null, "headers": []})"));
  patch_credentials(202, {{"url", "http://d/"}});  // nothing secret is left
}

TEST_F(StreamChangeTest, OnlyWhatShapesABatchLetsAFrozenOneGo) {
  const auto render = [this] { return stored().render_revision; };
  patch_credentials(202, {{"key", "other"}, {"headers", {"X-Key: other"}}});
  expect(202, patch({{"delivery", {{"timeout_ms", 500}}}, {"labels", json::array()}}));
  EXPECT_EQ(render(), 0u);
  patch_credentials(202, {{"size", 7}});
  EXPECT_EQ(render(), 1u);
  patch_credentials(202, {{"url", "http://a/elsewhere"}});
  EXPECT_EQ(render(), 2u);
  EXPECT_EQ(stored().filter_revision, 0u);
}

TEST_F(StreamChangeTest, DeliveryMergesAndLabelsAreReplaced) {
  const auto delivery_after = [this](const char* text) {
    return expect(202, patch({{"delivery", json::parse(text)}})).at("delivery");
  };
  EXPECT_EQ(delivery_after(R"({"timeout_ms": 500, "retry": {"jitter": 0}})"),
            json::parse(R"({"preset": "emnify", "timeout_ms": 500, "retry": {"jitter": 0}})"));
  EXPECT_EQ(delivery_after(R"({"linger_ms": 5, "retry": {"initial_ms": 10}})"),
            json::parse(R"({"preset": "emnify", "timeout_ms": 500, "linger_ms": 5,
                            "retry": {"jitter": 0, "initial_ms": 10}})"));
  // The whole counts: max_ms is 3600000.
  EXPECT_EQ(named(patch({{"delivery", {{"parallel", 65}}}})), Names{"delivery.parallel"});
  EXPECT_EQ(expect(202, patch({{"labels", {"a", "b"}}})).at("labels"), (json{"a", "b"}));
  EXPECT_EQ(expect(202, patch({{"labels", json::array()}})).at("labels"), json::array());
  EXPECT_EQ(expect(202, patch({{"labels", {"name"}}})).at("labels"), json{"name"});
}

TEST_F(StreamChangeTest, ADestinationIsCheckedWhenItChanges) {
  check_finds = Error{ErrorCode::Unavailable, "connection refused"};
  expect(202, patch({{"name", "renamed"}}));
  const json errors = patch_credentials(422, {{"size", 7}});
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].at("error_token"), "DestinationCheckFailed");
  EXPECT_EQ(errors[0].at("error_code"), 4223);
  EXPECT_EQ(credentials().at("size"), 3000);
  const json change = {{"destination", {{"credentials", {{"size", 7}}}}}};
  EXPECT_EQ(expect_token(patch(change, "?validate=maybe")), "BadQuery");
  expect(202, patch(change, "?validate=false"));
  EXPECT_EQ(credentials().at("size"), 7);
}

TEST_F(StreamChangeTest, AChangedDestinationSetsAStreamInErrorGoing) {
  set_status(catalog::StreamStatus::Error);
  const json changed = expect(
      202, patch(json::parse(R"({"status": 1, "destination": {"credentials": {"size": 7}}})")));
  EXPECT_EQ(changed.at("status").at("id"), 1);
  set_status(catalog::StreamStatus::Paused);
  EXPECT_EQ(patch_credentials(202, {{"size", 8}}).at("status").at("id"), 2);
}

TEST_F(StreamChangeTest, NothingChangesIfTheCommandIsRefused) {
  set_status(catalog::StreamStatus::Disabled);
  const json body = json::parse(R"({"status": 2, "name": "x", "labels": [],
                                    "destination": {"credentials": {"size": 7}}})");
  EXPECT_EQ(patch(body).status, 409);
  EXPECT_EQ(get().at("name"), "");
  EXPECT_TRUE(dispatch.changes().empty());
  set_status(catalog::StreamStatus::Paused);
  json resume = body;
  resume["status"] = 1;
  EXPECT_EQ(expect(202, patch(resume)).at("status").at("id"), 1);
  EXPECT_EQ(dispatch.changes().size(), 1u);
}

}  // namespace
}  // namespace sluice::api
