#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/firehose/request.h"

namespace sluice::connectors::firehose {
namespace {

using nlohmann::json;
using testing::batch_of;
using testing::TestChunk;

aws::Answer answered(std::string body) {
  aws::Answer answer;
  answer.outcome = {Delivered{}, 200, true};
  answer.body = std::move(body);
  return answer;
}

TEST(FirehoseRequest, HoldsEachRecordAsALine) {
  const TestChunk chunk(Offset{100}, {R"({"a" : 1})", "{\n\"b\":2}"});
  const json body = json::parse(put_record_batch("s", batch_of({chunk.run()})));
  EXPECT_EQ(body.at("DeliveryStreamName"), "s");
  ASSERT_EQ(body.at("Records").size(), 2u);
  EXPECT_EQ(from_base64(body.at("Records")[0].at("Data").get<std::string>()), "{\"a\" : 1}\n");
  EXPECT_EQ(from_base64(body.at("Records")[1].at("Data").get<std::string>()), "{\"b\":2}\n");
}

TEST(FirehoseOutcome, GoesOnFromTheFirstThatFailed) {
  const TestChunk chunk(Offset{100}, {"{}", "{}"});
  const RecordBatch batch = batch_of({chunk.run()});
  constexpr const char* kTaken = R"({"RecordId":"1"})";
  const auto said = [&](const char* second) {
    const std::string body = fmt::format(R"({{"RequestResponses":[{},{}]}})", kTaken, second);
    return classify(answered(body), batch);
  };
  EXPECT_TRUE(std::holds_alternative<Delivered>(said(kTaken).decision));
  const SendOutcome part =
      said(R"({"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."})");
  const auto* later = std::get_if<RetryLater>(&part.decision);
  ASSERT_NE(later, nullptr);
  EXPECT_EQ(later->first_failed, 1u);
  EXPECT_EQ(later->reason,
            "PutRecordBatch: record 2 of 2: ServiceUnavailableException: Slow down.");
}

TEST(FirehoseOutcome, ARecordBeyondTheServicesLimitIsRejected) {
  const TestChunk chunk(Offset{100}, {"{}", std::string(kRecordBytesMax + 1, ' ')});
  aws::Answer answer;
  answer.error = {"InvalidArgumentException", "too large"};
  answer.outcome = aws::refused(400, answer.error, {}, "reason");
  EXPECT_TRUE(std::holds_alternative<Rejected>(
      classify(std::move(answer), batch_of({chunk.run()})).decision));
}

}  // namespace
}  // namespace sluice::connectors::firehose
