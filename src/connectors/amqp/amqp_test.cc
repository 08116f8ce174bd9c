#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "connectors/amqp/config.h"
#include "connectors/amqp/frames.h"
#include "connectors/amqp/outcome.h"
#include "connectors/common/test_records.h"

namespace sluice::connectors::amqp {
namespace {

using nlohmann::json;
using testing::as;
using testing::TestChunk;
using namespace std::literals;

// ---- settings

std::string fault_of(json more) {
  json credentials = {{"url", "amqp://a.example"}};
  credentials.update(more);
  const Result<void> valid = find_connector("Amqp")->validate(credentials);
  return valid.has_value() ? "valid" : valid.error().message;
}

TEST(AmqpConfig, SaysWhatIsWrong) {
  EXPECT_EQ(fault_of(json::object()), "valid");
  EXPECT_EQ(fault_of({{"url", "amqps://a.example:5671/"}}), "valid");
  EXPECT_EQ(fault_of({{"url", "http://a.example"}}),
            "destination.credentials.url: the URL must begin with amqp:// or amqps://");
  EXPECT_EQ(fault_of({{"url", "amqp://u:p@a.example"}}),
            "destination.credentials.url: the URL holds a user name or password: give username and "
            "password instead");
  for (const char* url :
       {"amqp://", "amqp://a/vhost", "amqp://127.1", "amqp://a:0", "amqp://a?x"}) {
    EXPECT_TRUE(fault_of({{"url", url}}).starts_with("destination.credentials.url:")) << url;
  }
  EXPECT_EQ(fault_of({{"routing_key", "a.{b}"}}),
            "destination.credentials.routing_key: names {b}: use {organisation}, {kind} or "
            "{endpoint}");
  EXPECT_EQ(fault_of({{"routing_key", "a.}"}}),
            "destination.credentials.routing_key: has a brace without its other");
  EXPECT_TRUE(fault_of({{"routing_key", std::string(250, 'x') + "{kind}"}})
                  .starts_with("destination.credentials.routing_key: must give at most 255"));
  EXPECT_TRUE(
      fault_of({{"vhost", std::string(256, 'x')}}).starts_with("destination.credentials.vhost:"));
}

TEST(RecordTemplate, IsFilledFromTheRecord) {
  TestChunk chunk(Offset{100}, {R"({"a":1})", R"({"sim":{"id":12}})", "{}"});
  chunk.columns(0).endpoint_id = 77;
  const Result<RecordTemplate> text = RecordTemplate::parse("x/{organisation}/{kind}/{endpoint}/y");
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(text->fill(chunk.chunk(), 0), "x/399921/event/77/y");
  EXPECT_EQ(text->fill(chunk.chunk(), 1), "x/399921/event/12/y");
  EXPECT_EQ(text->fill(chunk.chunk(), 2), "x/399921/event/399921/y");
}

// ---- bytes

// As a broker would frame it.
std::string method(std::uint16_t channel, std::uint16_t of_class, std::uint16_t number,
                   std::string_view arguments) {
  std::string frame = "\x01"s;
  const auto put = [&frame](std::uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) frame += static_cast<char>(value >> (8 * i));
  };
  put(channel, 2);
  put(arguments.size() + 4, 4);
  put(of_class, 2);
  put(number, 2);
  frame += arguments;
  return frame + "\xce";
}

TEST(AmqpFrames, WhatABrokerSaysIsReadHoweverItIsCut) {
  const std::string bytes = method(0, 10, 10,
                                   "\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05"
                                   "en_US"sv) +
                            method(0, 10, 30, "\x08\x00\x00\x02\x00\x00\x00\x3c"sv) +
                            method(1, 60, 80, "\x00\x00\x00\x00\x00\x00\x00\x07\x01"sv) +
                            method(1, 60, 50, "\x01\x38\x08NO_ROUTE\x01x\x01k"sv) +
                            method(1, 20, 40, "\x01\x94\x04gone\x00\x00\x00\x00"sv);
  for (const std::size_t piece : {bytes.size(), std::size_t{1}, std::size_t{7}}) {
    Reader reader;
    std::vector<Said> all;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      const auto said = reader.read(std::string_view(bytes).substr(at, piece));
      ASSERT_TRUE(said.has_value()) << said.error().message;
      all.insert(all.end(), said->begin(), said->end());
    }
    ASSERT_EQ(all.size(), 5u);
    EXPECT_EQ(all[0].type, Said::Type::Start);
    EXPECT_EQ(all[0].text, "PLAIN");
    EXPECT_EQ(all[1].type, Said::Type::Tune);
    EXPECT_EQ(all[1].frame_max, 131072u);
    EXPECT_EQ(all[2].type, Said::Type::Ack);
    EXPECT_EQ(all[2].tag, 7u);
    EXPECT_TRUE(all[2].multiple);
    EXPECT_EQ(all[3].type, Said::Type::Returned);
    EXPECT_EQ(all[3].code, 312);
    EXPECT_EQ(all[3].routing_key, "k");
    EXPECT_EQ(all[4].type, Said::Type::ChannelClose);
    EXPECT_EQ(all[4].code, 404);
    EXPECT_EQ(all[4].text, "gone");
  }
}

TEST(AmqpFrames, NonsenseIsRefused) {
  for (const std::string& bytes :
       {"AMQP\x00\x00\x09\x01"s, "HTTP/1.1 400 Bad Request\r\n\r\n"s, std::string(100, '\xff'),
        "\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\x00"s}) {
    Reader reader;
    EXPECT_FALSE(reader.read(bytes).has_value());
  }
}

TEST(AmqpFrames, ALongBodyIsCutToFrames) {
  const std::string body(10'000, 'x');
  std::string out;
  publish(out, {"exchange", "key", "event", "1-event-2", body}, 4096);
  std::vector<std::size_t> bodies;
  for (std::size_t at = 0; at < out.size();) {
    std::size_t size = 0;
    for (int i = 3; i < 7; ++i) size = size << 8 | static_cast<unsigned char>(out[at + i]);
    EXPECT_EQ(out[at + 7 + size], '\xce');
    EXPECT_LE(size + 8, 4096u);
    if (out[at] == 3) bodies.push_back(size);
    at += size + 8;
  }
  EXPECT_EQ(bodies, (std::vector<std::size_t>{4088, 4088, 1824}));
}

// ---- confirms and outcomes

Said answer(Said::Type type, std::uint64_t tag, bool multiple = false) {
  Said said{.type = type};
  said.tag = tag;
  said.multiple = multiple;
  return said;
}

TEST(AmqpConfirms, CountFromTheFirstThatIsMissing) {
  Confirms confirms(11, 5);
  confirms.take(answer(Said::Type::Ack, 12));
  EXPECT_EQ(confirms.confirmed(), 0u);
  confirms.take(answer(Said::Type::Ack, 10, true));  // of the row before
  confirms.take(answer(Said::Type::Ack, 16));        // of none
  EXPECT_EQ(confirms.confirmed(), 0u);
  confirms.take(answer(Said::Type::Ack, 13, true));
  EXPECT_EQ(confirms.confirmed(), 3u);
  confirms.take(answer(Said::Type::Nack, 14));
  EXPECT_FALSE(confirms.settled());
  confirms.take(answer(Said::Type::Ack, 0, true));  // all
  EXPECT_TRUE(confirms.settled());
  EXPECT_EQ(confirms.confirmed(), 3u);
}

TEST(AmqpOutcome, FollowsTheTable) {
  const auto outcome = [](std::uint16_t code, Said::Type type = Said::Type::ChannelClose) {
    Said said{.type = type};
    said.code = code;
    said.text = "WHY - s3cret-word";
    said.routing_key = "k";
    return classify(said, 4, "amqp://a:1", "s3cret-word");
  };
  const SendOutcome forced = outcome(320, Said::Type::ConnectionClose);
  ASSERT_TRUE(as<RetryLater>(forced));
  EXPECT_EQ(as<RetryLater>(forced)->first_failed, 4u);
  EXPECT_EQ(as<RetryLater>(forced)->reason, "amqp://a:1: 320 WHY - ***");
  EXPECT_TRUE(as<RetryLater>(outcome(541)));
  for (const std::uint16_t code : {402, 403, 404, 530}) {
    EXPECT_TRUE(as<Misconfigured>(outcome(code))) << code;
  }
  const SendOutcome returned = outcome(312, Said::Type::Returned);
  ASSERT_TRUE(as<Misconfigured>(returned));
  EXPECT_NE(as<Misconfigured>(returned)->reason.find("no queue takes"), std::string::npos);
  for (const std::uint16_t code : {311, 406}) {
    EXPECT_TRUE(as<Rejected>(outcome(code)));
    EXPECT_EQ(outcome(code).remote_status, 413);
  }
}

}  // namespace
}  // namespace sluice::connectors::amqp
