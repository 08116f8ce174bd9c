#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sluice::api {
namespace {

using catalog::StreamStatus;
using nlohmann::json;

class RestartApiTest : public ApiTest {
 protected:
  std::uint64_t stream(std::uint64_t organisation, StreamStatus status, const std::string& error) {
    const std::uint64_t id = create(organisation).at("id");
    dispatch::StreamSnapshot snapshot;
    snapshot.status = status;
    snapshot.last_error = error;
    dispatch.set(StreamId{id}, snapshot);
    return id;
  }
  http::Response restart(const std::string& body) {
    return send(Role::Operator, 0, {"POST", "/api/v2/data_stream/restart", body});
  }
  json restarted(const std::string& body) { return expect(202, restart(body)).at("restarted"); }
  StreamStatus status(std::uint64_t id) { return dispatch.snapshot(StreamId{id})->status; }
};

TEST_F(RestartApiTest, RestartsWhatIsInErrorAndNothingElse) {
  const std::uint64_t first = stream(1, StreamStatus::Error, "410 gone");
  const std::uint64_t paused = stream(1, StreamStatus::Paused, "410 gone");
  const std::uint64_t other = stream(2, StreamStatus::Error, "401 who are you");
  const json answer = expect(202, restart("{}"));
  EXPECT_EQ(answer.at("failed"), json::array());
  EXPECT_EQ(answer.at("restarted").size(), 2u);
  EXPECT_EQ(status(first), StreamStatus::Running);
  EXPECT_EQ(status(other), StreamStatus::Running);
  EXPECT_EQ(status(paused), StreamStatus::Paused);
  EXPECT_EQ(restarted("{}"), json::array());
}

TEST_F(RestartApiTest, WithoutABodyRestartsAll) {
  const std::uint64_t gone = stream(1, StreamStatus::Error, "410 gone");
  EXPECT_EQ(restarted(""), json::array({gone}));
}

TEST_F(RestartApiTest, ByOrganisationAndByReason) {
  const std::uint64_t gone = stream(1, StreamStatus::Error, "410 gone");
  const std::uint64_t refused = stream(1, StreamStatus::Error, "401 who are you");
  const std::uint64_t other = stream(2, StreamStatus::Error, "410 gone");
  EXPECT_EQ(restarted(R"({"reason": "410", "organisation_id": 1})"), json::array({gone}));
  EXPECT_EQ(restarted(R"({"reason": "410"})"), json::array({other}));
  EXPECT_EQ(restarted(R"({"organisation_id": 3})"), json::array());
  EXPECT_EQ(status(refused), StreamStatus::Error);
  EXPECT_EQ(restarted(R"({"organisation_id": 1})"), json::array({refused}));
}

TEST_F(RestartApiTest, RefusesWhatItDoesNotKnow) {
  const std::uint64_t id = stream(1, StreamStatus::Error, "410 gone");
  for (const char* body :
       {"[]", R"({"organisation": 1})", R"({"organisation_id": "1"})", R"({"organisation_id": -1})",
        R"({"reason": ""})", R"({"reason": null})"}) {
    const http::Response answer = restart(body);
    EXPECT_EQ(answer.status, 422) << body;
    EXPECT_EQ(expect_token(answer), "InvalidRequest") << body;
  }
  EXPECT_EQ(restart("{").status, 400);
  EXPECT_EQ(status(id), StreamStatus::Error);
}

}  // namespace
}  // namespace sluice::api
