#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/kafka/config.h"
#include "connectors/kafka/outcome.h"

namespace sluice::connectors::kafka {
namespace {

using nlohmann::json;
using sluice::kafka::Meaning;
using sluice::kafka::Sent;
using sluice::kafka::WireFault;
using testing::as;

std::string fault_of(json more) {
  json credentials = {{"brokers", "a.example:9092"}, {"topic", "t"}};
  credentials.update(more);
  const Result<void> valid = find_connector("Kafka")->validate(credentials);
  return valid.has_value() ? "valid" : valid.error().message;
}

TEST(KafkaConfig, SaysWhatIsWrong) {
  EXPECT_EQ(fault_of(json::object()), "valid");
  EXPECT_EQ(fault_of({{"security", "SASL_SSL"}, {"username", "u"}, {"password", "p"}}), "valid");
  EXPECT_EQ(fault_of({{"security", "SASL_SSL"}, {"username", "u"}}),
            "destination.credentials.password: is required with SASL_SSL");
  EXPECT_EQ(fault_of({{"username", "u"}}),
            "destination.credentials.username: is of no use with PLAINTEXT");
  EXPECT_EQ(fault_of({{"security", "SASL_PLAINTEXT"}, {"username", "u"}, {"password", "a\nb"}}),
            "destination.credentials.password: must not be empty nor hold control characters");
  for (const char* topic : {"", ".", "a b", "a/b"}) {
    EXPECT_EQ(fault_of({{"topic", topic}}),
              "destination.credentials.topic: must be up to 249 letters, digits, '.', '_' and '-'");
  }
  EXPECT_TRUE(
      fault_of({{"brokers", "127.1:9092"}}).starts_with("destination.credentials.brokers:"));
}

TEST(KafkaConfig, HoldsHowTheClusterIsSpokenTo) {
  const Result<Config> config = read_config({{"brokers", "A.example, b.example:1"},
                                             {"topic", "t"},
                                             {"security", "SASL_SSL"},
                                             {"sasl_mechanism", "SCRAM-SHA-512"},
                                             {"username", "u"},
                                             {"password", "p"}});
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->cluster.brokers, "a.example:9092,b.example:1");
  EXPECT_TRUE(config->cluster.secure);
  EXPECT_EQ(config->cluster.sasl_mechanism, "SCRAM-SHA-512");
  EXPECT_EQ(config->topic, "t");
}

Sent refused(std::uint32_t delivered, Meaning meaning, std::string text = "Broker: no") {
  Sent sent;
  sent.delivered = delivered;
  sent.meaning = meaning;
  sent.text = std::move(text);
  return sent;
}

Sent silent(std::uint32_t delivered, ErrorCode code, std::string message = "why") {
  Sent sent;
  sent.delivered = delivered;
  sent.fault = WireFault{{code, std::move(message)}, Fault::Network};
  return sent;
}

SendOutcome outcome(const Sent& sent, const std::optional<Sent>& alone = {}) {
  return classify(sent, alone, 10, "t", "s3cret-word");
}

TEST(KafkaOutcome, FollowsTheTable) {
  EXPECT_TRUE(as<Delivered>(outcome(refused(10, Meaning::Done))));
  const SendOutcome settings =
      outcome(refused(3, Meaning::Settings, "Broker: not with s3cret-word"));
  ASSERT_TRUE(as<Misconfigured>(settings));
  EXPECT_EQ(as<Misconfigured>(settings)->reason, "topic t: Broker: not with ***");
  EXPECT_TRUE(settings.answered);
  const SendOutcome passes = outcome(refused(3, Meaning::Passes));
  ASSERT_TRUE(as<RetryLater>(passes));
  EXPECT_EQ(as<RetryLater>(passes)->first_failed, 3u);
  EXPECT_EQ(as<RetryLater>(passes)->reason, "topic t: record 4 of 10: Broker: no");
}

TEST(KafkaOutcome, WithoutAnAnswerItGoesAgainFromTheFirstThatIsNotThere) {
  const SendOutcome late = outcome(silent(4, ErrorCode::Timeout));
  ASSERT_TRUE(as<RetryLater>(late));
  EXPECT_EQ(as<RetryLater>(late)->first_failed, 4u);
  EXPECT_EQ(late.remote_status, 504);
  EXPECT_FALSE(late.answered);
  EXPECT_EQ(outcome(silent(0, ErrorCode::Unavailable)).remote_status, 502);
  EXPECT_EQ(outcome(silent(0, ErrorCode::Cancelled)).remote_status, 0);
  EXPECT_TRUE(as<Misconfigured>(outcome(silent(0, ErrorCode::InvalidArgument))));
}

TEST(KafkaOutcome, ARefusedRecordIsTheOneThatIsRefusedAlone) {
  EXPECT_FALSE(wants_another_try(refused(4, Meaning::Passes), 10));
  EXPECT_FALSE(wants_another_try(refused(0, Meaning::TooLarge), 1));
  for (const Meaning meaning : {Meaning::TooLarge, Meaning::Refused}) {
    const Sent sent = refused(4, meaning);
    EXPECT_TRUE(wants_another_try(sent, 10));
    const SendOutcome itself = outcome(sent, refused(0, meaning));
    ASSERT_TRUE(as<Rejected>(itself));
    EXPECT_EQ(as<Rejected>(itself)->record, 4u);
    const SendOutcome together = outcome(sent, refused(1, Meaning::Done));
    ASSERT_TRUE(as<Rejected>(together));
    EXPECT_FALSE(as<Rejected>(together)->record.has_value());
    EXPECT_EQ(together.remote_status, meaning == Meaning::TooLarge ? 413 : 422);
    const SendOutcome unknown = outcome(sent, silent(0, ErrorCode::Timeout));
    ASSERT_TRUE(as<RetryLater>(unknown));
    EXPECT_EQ(as<RetryLater>(unknown)->first_failed, 4u);
    EXPECT_TRUE(as<Misconfigured>(outcome(sent, refused(0, Meaning::Settings))));
    EXPECT_EQ(as<RetryLater>(outcome(sent, refused(0, Meaning::Passes)))->first_failed, 4u);
  }
}

}  // namespace
}  // namespace sluice::connectors::kafka
