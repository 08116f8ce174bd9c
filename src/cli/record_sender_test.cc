#include "cli/record_sender.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>

namespace sluice::cli {
namespace {

using std::chrono::milliseconds;

// A server that answers what the test lines up, and a clock that only remembers.
struct Script {
  std::deque<Result<PostAnswer>> answers;
  std::vector<std::string> keys;
  std::vector<std::string> bodies;
  std::vector<std::string> types;
  std::vector<std::string> paths;
  std::vector<std::string> encodings;
  bool gzip = false;
  bool skip_invalid = false;
  std::vector<milliseconds> waits;
  bool go_on = true;

  RecordSender sender(milliseconds retry_for = std::chrono::minutes(5)) {
    RecordSender::Options options;
    options.retry_for = retry_for;
    options.post = [this](const PostRequest& request) {
      keys.emplace_back(request.idempotency_key);
      bodies.emplace_back(request.body);
      types.emplace_back(request.content_type);
      paths.emplace_back(request.path_and_query);
      encodings.emplace_back(request.content_encoding);
      Result<PostAnswer> answer = answers.front();
      answers.pop_front();
      return answer;
    };
    options.pause = [this](milliseconds wait) {
      waits.push_back(wait);
      return go_on;
    };
    options.report = [](std::string_view) {};
    options.gzip = gzip;
    options.skip_invalid = skip_invalid;
    return RecordSender(options);
  }
};

PostAnswer answer(int status, std::string body = {}, std::optional<std::uint32_t> after = {}) {
  return {status, std::move(body), after};
}

TEST(RecordSender, SaysHowManyTheServerTook) {
  Script script;
  script.answers = {answer(200, R"({"accepted": 3})")};
  const SendResult result = script.sender().send(Kind::Usage, BodyForm::Lines, "...");
  EXPECT_EQ(std::get<Accepted>(result).records, 3U);
  EXPECT_EQ(script.paths[0], "/api/v2/records/usage");
  EXPECT_EQ(script.types[0], "application/x-ndjson");
}

TEST(RecordSender, TriesAgainWithTheSameKeyAndBody) {
  Script script;
  script.answers = {Error{ErrorCode::Unavailable, "refused"}, answer(503), answer(429),
                    answer(200, R"({"accepted": 1, "replayed": true})")};
  const SendResult result = script.sender().send(Kind::Event, BodyForm::Json, "{}");
  EXPECT_EQ(std::get<Accepted>(result).records, 1U);
  EXPECT_EQ(std::set(script.keys.begin(), script.keys.end()).size(), 1U);
  EXPECT_EQ(script.bodies, std::vector<std::string>(4, "{}"));
  EXPECT_EQ(script.waits,
            (std::vector<milliseconds>{milliseconds(500), milliseconds(1000), milliseconds(2000)}));
}

TEST(RecordSender, SaysWhatWasStoredBeforeAndWhatWasRejected) {
  Script script;
  script.skip_invalid = true;
  script.answers = {answer(200, R"({"accepted": 2, "rejected": 1, "replayed": true,
      "errors": [{"index": 1, "line": 2, "message": "no id"}]})")};
  const auto accepted =
      std::get<Accepted>(script.sender().send(Kind::Event, BodyForm::Lines, "..."));
  EXPECT_EQ(script.paths[0], "/api/v2/records/events?on_invalid=skip");
  EXPECT_EQ(accepted.records, 2U);
  EXPECT_EQ(accepted.rejected, 1U);
  EXPECT_TRUE(accepted.replayed);
  ASSERT_EQ(accepted.invalid.size(), 1U);
  EXPECT_EQ(accepted.invalid[0].line, 2U);
}

TEST(RecordSender, PacksBodiesWhereItHelpsAndSendsTheSameAgain) {
  Script script;
  script.gzip = true;
  const std::string large(100'000, ' ');
  const std::string small = "{}";
  script.answers = {answer(503), answer(200, R"({"accepted": 0})"),
                    answer(200, R"({"accepted": 0})")};
  RecordSender sender = script.sender();
  (void)sender.send(Kind::Event, BodyForm::Lines, large);
  (void)sender.send(Kind::Event, BodyForm::Lines, small);
  EXPECT_EQ(script.encodings, (std::vector<std::string>{"gzip", "gzip", ""}));
  EXPECT_LT(script.bodies[0].size(), large.size() / 10);
  EXPECT_EQ(script.bodies[0], script.bodies[1]);
  EXPECT_EQ(script.bodies[2], small);
}

TEST(RecordSender, EachBodyHasAKeyOfItsOwn) {
  Script script;
  script.answers = {answer(200, R"({"accepted": 1})"), answer(200, R"({"accepted": 1})")};
  RecordSender sender = script.sender();
  (void)sender.send(Kind::Event, BodyForm::Json, "{}");
  (void)sender.send(Kind::Event, BodyForm::Json, "{}");
  EXPECT_NE(script.keys[0], script.keys[1]);
  EXPECT_EQ(script.keys[0].size(), 32U);
}

TEST(RecordSender, WaitsAsLongAsTheServerAsks) {
  Script script;
  script.answers = {answer(503, {}, 7), answer(200, R"({"accepted": 1})")};
  (void)script.sender().send(Kind::Event, BodyForm::Json, "{}");
  EXPECT_EQ(script.waits, std::vector<milliseconds>{milliseconds(7000)});
}

TEST(RecordSender, GivesUpAfterItsTime) {
  Script script;
  for (int i = 0; i < 20; ++i) script.answers.push_back(answer(503, R"({"message": "disk full"})"));
  const SendResult result =
      script.sender(std::chrono::seconds(10)).send(Kind::Event, BodyForm::Json, "{}");
  EXPECT_NE(std::get<GaveUp>(result).message.find("disk full"), std::string::npos);
  milliseconds sum(0);
  for (const milliseconds wait : script.waits) sum += wait;
  EXPECT_LE(sum, std::chrono::seconds(10));
  EXPECT_EQ(script.waits.size(), 4U);  // 0.5 + 1 + 2 + 4; 8 more would be too many
}

TEST(RecordSender, StopsWaitingWhenTheUserHasEnough) {
  Script script;
  script.answers = {answer(503)};
  script.go_on = false;
  const SendResult result = script.sender().send(Kind::Event, BodyForm::Json, "{}");
  EXPECT_TRUE(std::holds_alternative<Stopped>(result));
}

TEST(RecordSender, ARefusalNamesTheRecords) {
  Script script;
  script.answers = {answer(422, R"({"error_code": 4221, "error_token": "InvalidRecord",
      "message": "2 of 9 records are invalid",
      "errors": [{"index": 1, "line": 2, "message": "no id"},
                 {"index": 7, "message": "no time"}]})")};
  const Refused refused =
      std::get<Refused>(script.sender().send(Kind::Event, BodyForm::Lines, "{}"));
  EXPECT_EQ(refused.status, 422);
  EXPECT_EQ(refused.message, "422 InvalidRecord: 2 of 9 records are invalid");
  ASSERT_EQ(refused.records.size(), 2U);
  EXPECT_EQ(refused.records[0].line, 2U);
  EXPECT_EQ(refused.records[0].message, "no id");
  EXPECT_EQ(refused.records[1].index, 7U);
  EXPECT_FALSE(refused.records[1].line.has_value());
  EXPECT_TRUE(script.waits.empty());
}

TEST(RecordSender, AnswersThatAreNoSluiceServersAreNotTrusted) {
  for (const std::string_view body : {"", "<html>", "[]", "null", R"({"accepted": "3"})",
                                      R"({"accepted": -3})", R"({"errors": 7})"}) {
    for (const int status : {200, 404, 422}) {
      Script script;
      script.answers = {answer(status, std::string(body))};
      const SendResult result = script.sender().send(Kind::Event, BodyForm::Json, "{}");
      EXPECT_TRUE(std::holds_alternative<Refused>(result)) << status << ' ' << body;
    }
  }
}

}  // namespace
}  // namespace sluice::cli
