#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "connectors/common/test_records.h"
#include "connectors/connector.h"
#include "connectors/eventhubs/config.h"
#include "connectors/eventhubs/request.h"

namespace sluice::connectors::eventhubs {
namespace {

using nlohmann::json;

constexpr const char* kWhole =
    "Endpoint=sb://example.servicebus.windows.net/;SharedAccessKeyName=send it;"
    "SharedAccessKey=a2V5PQ==;EntityPath=my-hub";

std::string fault_of(const std::string& text) {
  const Result<void> valid = find_connector("EventHubs")->validate({{"connection_string", text}});
  return valid.has_value() ? "valid" : valid.error().message;
}

TEST(EventHubsConfig, IsReadFromTheConnectionString) {
  const Result<Config> config = read_connection_string(kWhole);
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->url, "https://example.servicebus.windows.net/my-hub");
  EXPECT_EQ(config->key_name, "send it");
  EXPECT_EQ(config->key, "a2V5PQ==") << "the key's own = belongs to it";
  EXPECT_EQ(read_connection_string("entitypath=h; sharedaccesskey=k;;endpoint=sb://a:5671;"
                                   "SHAREDACCESSKEYNAME=n;TransportType=Amqp")
                ->url,
            "https://a:5671/h");
}

TEST(EventHubsConfig, SaysWhatIsMissingAndShowsNoSecret) {
  const std::string path = "destination.credentials.connection_string: ";
  EXPECT_EQ(fault_of(kWhole), "valid");
  EXPECT_EQ(fault_of("x"), path + "has no Endpoint=sb://...");
  EXPECT_EQ(fault_of("Endpoint=sb://a/;SharedAccessKey=k;EntityPath=h"),
            path + "has no SharedAccessKeyName=...;SharedAccessKey=...");
  EXPECT_EQ(fault_of("Endpoint=sb://a/;SharedAccessKeyName=n;SharedAccessKey=k"),
            path + "has no EntityPath=<event hub>: take the event hub's own, not the namespace's");
  EXPECT_NE(fault_of("Endpoint=sb://a/b/;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=h")
                .find("must be a host alone"),
            std::string::npos);
  EXPECT_NE(fault_of("Endpoint=sb://u@a/;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=h"),
            "valid");
}

// Made with Python's hmac, hashlib and urllib.
TEST(EventHubsConfig, SignsAsTheServiceDocuments) {
  EXPECT_EQ(shared_access_signature(*read_connection_string(kWhole), WallTime{1'795'303'082'007}),
            "SharedAccessSignature sr=https%3A%2F%2Fexample.servicebus.windows.net%2Fmy-hub"
            "&sig=NFgYhKnCuuAMKghLbIijVekNQhc98FaiLx%2FqRHP7rtU%3D&se=1795306682&skn=send%20it");
}

TEST(EventHubsRequest, HoldsEachRecordAsATextUnderTheOneKey) {
  const KeyGroup group{"77", {R"({"a":"\u00e9 \"é\""})", R"({"b":2})"}, 0};
  const json body = json::parse(events_of(group));
  ASSERT_EQ(body.size(), 2u);
  EXPECT_EQ(body[0], json({{"Body", R"({"a":"\u00e9 \"é\""})"},
                           {"BrokerProperties", {{"PartitionKey", "77"}}}}));
  EXPECT_EQ(body[1].at("Body"), R"({"b":2})");
}

ServiceAnswer refusal(int status) {
  ServiceAnswer answer;
  answer.outcome = {by_status(status, "why", {}), status, true};
  return answer;
}

TEST(EventHubsOutcome, A403IsTheRequestsWhereItIsTooLarge) {
  const std::string large(kRequestBytesMax, ' ');
  const KeyGroup small{"1", {"{}"}, 0};
  const KeyGroup too_large{"1", {large}, 0};
  EXPECT_TRUE(std::holds_alternative<Misconfigured>(classify(refusal(403), small).decision));
  EXPECT_TRUE(std::holds_alternative<Rejected>(classify(refusal(403), too_large).decision));
  EXPECT_TRUE(std::holds_alternative<Gone>(classify(refusal(410), small).decision));
}

TEST(EventHubsOutcome, ReadsTheGatewaysErrors) {
  egress::HttpResponse response;
  response.body = "<Error><Code>401</Code><Detail>ExpiredToken: it has ended</Detail></Error>";
  EXPECT_EQ(read_error(response).message, "ExpiredToken: it has ended");
  response.body = "no XML";
  EXPECT_EQ(read_error(response).message, "");
}

}  // namespace
}  // namespace sluice::connectors::eventhubs
