#include "api/schema.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/json_text.h"

namespace sluice::api {
namespace {

using nlohmann::json;

constexpr std::string_view kSchema = R"({"type": "Test", "label": "Test", "fields": [
  {"key": "url", "kind": "url", "required": true},
  {"key": "name", "kind": "string"},
  {"key": "key", "kind": "secret"},
  {"key": "size", "kind": "integer", "default": 3000, "min": 1, "max": 10000},
  {"key": "offset", "kind": "integer"},
  {"key": "compress", "kind": "boolean", "default": false},
  {"key": "version", "kind": "integer", "min": 1, "max": 1},
  {"key": "exchange", "kind": "string", "default": ""},
  {"key": "method", "kind": "enum", "values": ["POST", "PUT"], "default": "POST"},
  {"key": "headers", "kind": "headers", "default": []}]})";

// "property: message" of each fault.
std::vector<std::string> faults_of(const json& settings) {
  Faults faults;
  complete_settings(kSchema, settings, "c", faults);
  std::vector<std::string> list;
  for (const Fault& fault : faults.list()) list.push_back(fault.property + ": " + fault.message);
  return list;
}

using Strings = std::vector<std::string>;

TEST(Schema, FillsInDefaultsAndKeepsWhatIsGiven) {
  Faults faults;
  const json complete = complete_settings(
      kSchema, {{"url", "http://a/"}, {"size", 1}, {"headers", {"a:b"}}}, "c", faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(complete, (json{{"url", "http://a/"},
                            {"size", 1},
                            {"headers", {"a:b"}},
                            {"compress", false},
                            {"exchange", ""},
                            {"method", "POST"}}));
  EXPECT_EQ(faults_of(complete), Strings{}) << "what is shown may be sent back";
}

TEST(Schema, NamesEveryPropertyAtFault) {
  EXPECT_EQ(faults_of(json::array()), Strings{"c: must be an object"});
  EXPECT_EQ(faults_of(nullptr), Strings{"c: must be an object"});
  EXPECT_EQ(faults_of({{"sizes", 1}, {"size", 0}, {"method", "GET"}}),
            (Strings{"c.sizes: unknown property", "c.url: is required",
                     "c.size: must be an integer from 1 to 10000",
                     "c.method: must be one of POST, PUT"}));
  EXPECT_EQ(faults_of({{"url", "http://a/"}, {"version", 2}}), Strings{"c.version: must be 1"});
}

TEST(Schema, RefusesValuesOfTheWrongKind) {
  const std::vector<std::pair<const char*, std::vector<json>>> wrong = {
      {"url", {7, nullptr, "", json::array(), "http://a/\n", std::string("a\0", 2)}},
      {"name", {true, "", "\x7f", std::string(8193, 'x')}},
      {"key", {1, "", "a\x01", "***"}},
      {"size", {0, 10001, -1, "1", 1.0, true, nullptr, ~0ull}},
      {"offset", {1.5, ~0ull, json::parse("123456789012345678901234567890")}},
      {"compress", {0, 1, "true", nullptr}},
      {"method", {"post", "", 1, nullptr}},
      {"headers", {"a:b", {"a"}, {":b"}, {"a:b", 1}, {"a: *** "}, {"a:\r\nb:c"}, {""}}},
  };
  for (const auto& [key, values] : wrong) {
    for (const json& value : values) {
      json settings = {{"url", "http://a/"}};
      settings[key] = value;
      const Strings faults = faults_of(settings);
      ASSERT_EQ(faults.size(), 1u) << key << " " << value;
      EXPECT_TRUE(faults[0].starts_with(std::string("c.") + key + ": ")) << faults[0];
    }
  }
  json many = {{"url", "http://a/"}, {"headers", json::array()}};
  for (int i = 0; i < 65; ++i) many["headers"].push_back("a:b");
  EXPECT_EQ(faults_of(many).size(), 1u);
}

TEST(Schema, TakesTheEndsOfARange) {
  for (const int size : {1, 10000}) EXPECT_EQ(faults_of({{"url", "u"}, {"size", size}}), Strings{});
  EXPECT_EQ(faults_of({{"url", "u"}, {"key", "-----BEGIN\nKEY-----"}, {"offset", -5}}), Strings{});
  EXPECT_EQ(faults_of({{"url", "u"}, {"headers", {"a:", "b: \t", "c:***d"}}}), Strings{});
}

TEST(Schema, MasksSecretsAndHeaderValues) {
  const json settings = {{"headers", {"X-Key: s3cret:s3cret", "s3cret"}},
                         {"key", "s3cret"},
                         {"url", "http://a/"},
                         {"unlisted", "s3cret"}};
  // In the schema's order.
  EXPECT_EQ(to_text(mask_settings(kSchema, settings)),
            R"({"url":"http://a/","key":"***","headers":["X-Key:***","***"]})");
}

TEST(Schema, ABrokenHeaderListShowsNothing) {
  EXPECT_EQ(to_text(mask_settings(kSchema, {{"headers", "s3cret"}, {"key", nullptr}})),
            R"({"key":null,"headers":[]})");
  EXPECT_EQ(to_text(mask_settings(kSchema, "s3cret")), "{}");
}

}  // namespace
}  // namespace sluice::api
