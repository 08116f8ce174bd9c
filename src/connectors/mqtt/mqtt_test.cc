#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/mqtt/config.h"
#include "connectors/mqtt/outcome.h"
#include "connectors/mqtt/packets.h"

namespace sluice::connectors::mqtt {
namespace {

using nlohmann::json;
using namespace std::literals;
using testing::as;

std::string fault_of(json more) {
  json credentials = {{"url", "mqtt://a.example"}};
  credentials.update(more);
  const Result<void> valid = find_connector("Mqtt")->validate(credentials);
  return valid.has_value() ? "valid" : valid.error().message;
}

TEST(MqttConfig, SaysWhatIsWrong) {
  EXPECT_EQ(fault_of(json::object()), "valid");
  EXPECT_EQ(fault_of({{"url", "mqtts://a.example:8883"}, {"username", "u"}, {"password", "p"}}),
            "valid");
  EXPECT_EQ(fault_of({{"url", "tcp://a.example"}}),
            "destination.credentials.url: the URL must begin with mqtt:// or mqtts://");
  EXPECT_EQ(fault_of({{"password", "p"}}),
            "destination.credentials.username: is required with a password");
  for (const char* topic : {"", "a/#", "+/b", "$SYS/a", "a\nb"}) {
    EXPECT_TRUE(fault_of({{"topic", topic}}).starts_with("destination.credentials.topic: must be"))
        << topic;
  }
}

TEST(MqttPackets, AreAsTheStandardHasThem) {
  EXPECT_EQ(connect({Version::V311, "id", "", ""}),
            "\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02id"s);
  EXPECT_EQ(connect({Version::V5, "id", "u", "p"}),
            "\x10\x15\x00\x04MQTT\x05\xc2\x00\x00\x00\x00\x02id\x00\x01u\x00\x01p"s);
  std::string out;
  publish(out, {Version::V311, "t/1", 258, "{}"});
  EXPECT_EQ(out, "\x32\x09\x00\x03t/1\x01\x02{}"s);
  out.clear();
  publish(out, {Version::V5, "t/1", 258, "{}"});
  EXPECT_EQ(out, "\x32\x0a\x00\x03t/1\x01\x02\x00{}"s);
  for (const std::size_t size : {0u, 119u, 120u, 121u, 16'376u, 16'377u, 2'097'144u, 2'097'145u}) {
    const std::string body(size, 'x');
    const Publication message{Version::V5, "t", 1, body};
    out.clear();
    publish(out, message);
    EXPECT_EQ(out.size(), publish_bytes(message)) << size;
  }
}

TEST(MqttReader, ReadsWhatABrokerSaysHoweverItIsCut) {
  const std::string bytes =
      "\x20\x15\x00\x00\x12\x21\x00\x14\x27\x00\x01\x00\x00\x24\x01"
      "\x22\x00\x0a\x26\x00\x00\x00\x00"
      "\x40\x02\x00\x07"
      "\x40\x08\x00\x08\x87\x04\x1f\x00\x01n"
      "\xe0\x01\x8b"s;
  for (const std::size_t piece : {bytes.size(), std::size_t{1}, std::size_t{5}}) {
    Reader reader(Version::V5);
    std::vector<Heard> all;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      const auto heard = reader.read(std::string_view(bytes).substr(at, piece));
      ASSERT_TRUE(heard.has_value()) << at;
      all.insert(all.end(), heard->begin(), heard->end());
    }
    ASSERT_EQ(all.size(), 4u);
    EXPECT_EQ(all[0].type, Heard::Type::ConnAck);
    EXPECT_EQ(all[0].unacknowledged_max, 20);
    EXPECT_EQ(all[0].packet_bytes_max, 65536u);
    EXPECT_EQ(all[0].qos_max, 1);
    EXPECT_EQ(all[1].id, 7);
    EXPECT_EQ(all[1].reason, 0);
    EXPECT_EQ(all[2].id, 8);
    EXPECT_EQ(all[2].reason, 0x87);
    EXPECT_EQ(all[2].text, "n");
    EXPECT_EQ(all[3].type, Heard::Type::Disconnect);
    EXPECT_EQ(all[3].reason, 0x8b);
  }
}

TEST(MqttReader, RefusesNonsense) {
  for (const std::string& bytes :
       {"HTTP/1.1 400"s, "\x40\x01\x00"s, "\x20\xff\xff\xff\xff\x01"s, "\x30\x02\x00\x00"s,
        "\x20\x04\x00\x00\x05\x21"s, "\x20\x04\x00\x00\x01\x7f"s, "\x20\xff\xff\x7f"s}) {
    Reader reader(Version::V5);
    EXPECT_FALSE(reader.read(bytes).has_value())
        << json(bytes).dump(-1, ' ', true, json::error_handler_t::replace);
  }
}

SendOutcome outcome(Heard::Type type, std::uint8_t reason, Version version = Version::V5) {
  Heard heard;
  heard.type = type;
  heard.reason = reason;
  heard.text = "not with s3cret-word";
  EXPECT_TRUE(is_failure(heard, version));
  return classify(heard, version, 4, "mqtt://a:1", "s3cret-word");
}

TEST(MqttOutcome, FollowsTheTable) {
  using Type = Heard::Type;
  const SendOutcome password = outcome(Type::ConnAck, 0x86);
  ASSERT_TRUE(as<Misconfigured>(password));
  EXPECT_EQ(as<Misconfigured>(password)->reason,
            "mqtt://a:1: 0x86 bad user name or password: not with ***");
  EXPECT_TRUE(as<Misconfigured>(outcome(Type::ConnAck, 5, Version::V311)));
  EXPECT_TRUE(as<RetryLater>(outcome(Type::ConnAck, 3, Version::V311)));
  EXPECT_TRUE(as<Misconfigured>(outcome(Type::ConnAck, 1)));
  EXPECT_TRUE(as<Misconfigured>(outcome(Type::PubAck, 0x87)));
  const SendOutcome busy = outcome(Type::PubAck, 0x97);
  ASSERT_TRUE(as<RetryLater>(busy));
  EXPECT_EQ(as<RetryLater>(busy)->first_failed, 4u);
  EXPECT_TRUE(as<RetryLater>(outcome(Type::Disconnect, 0x8b)));
  const SendOutcome refused = outcome(Type::PubAck, 0x99);
  ASSERT_TRUE(as<Rejected>(refused));
  EXPECT_EQ(as<Rejected>(refused)->record, 4u);
  const SendOutcome too_large = outcome(Type::Disconnect, 0x95);
  ASSERT_TRUE(as<Rejected>(too_large));
  EXPECT_FALSE(as<Rejected>(too_large)->record.has_value());
  EXPECT_EQ(too_large.remote_status, 413);
}

TEST(MqttOutcome, AMessageThatNobodyReadsIsDelivered) {
  Heard heard;
  heard.type = Heard::Type::PubAck;
  heard.reason = 0x10;
  EXPECT_FALSE(is_failure(heard, Version::V5));
}

}  // namespace
}  // namespace sluice::connectors::mqtt
