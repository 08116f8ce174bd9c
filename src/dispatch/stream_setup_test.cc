#include "dispatch/stream_setup.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::dispatch {
namespace {

using nlohmann::json;

TEST(StreamSetup, StreamsToOneHostShareTheirTurns) {
  const struct {
    const char* type;
    json credentials;
    const char* host;
  } kCases[] = {
      {"RestAPI", {{"url", "https://one.example:8443/in?a=b"}}, "one.example"},
      {"AwsSqs",
       {{"queue_url", "https://sqs.eu-west-1.amazonaws.com/1/q"}, {"region", "x"}},
       "sqs.eu-west-1.amazonaws.com"},
      {"S3", {{"region", "eu-west-1"}, {"endpoint_url", "http://minio.example"}}, "minio.example"},
      {"S3", {{"region", "eu-west-1"}}, "S3.eu-west-1"},
      {"Salesforce",
       {{"client_id", "a"}, {"login_url", "https://test.salesforce.com"}},
       "test.salesforce.com"},
      {"KeenIO", {{"project_id", "p"}}, "KeenIO"},
      {"Kafka", {{"brokers", "a.example:9092,b.example:9092"}}, "a.example:9092,b.example:9092"},
      {"Amqp", {{"url", "amqps://broker.example"}}, "amqps://broker.example"},
      {"Inspector", json::object(), ""},
  };
  for (const auto& [type, credentials, host] : kCases) {
    EXPECT_EQ(host_of(type, credentials), host) << type << ' ' << credentials;
  }
}

}  // namespace
}  // namespace sluice::dispatch
