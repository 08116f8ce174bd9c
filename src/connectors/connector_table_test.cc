// What every connector's descriptor and schema must satisfy (README.md).

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "connectors/connector.h"

namespace sluice::connectors {
namespace {

using nlohmann::json;

TEST(ConnectorTable, FindsTypesByTheirWireName) {
  ASSERT_FALSE(connector_table().empty());
  for (const ConnectorDescriptor* descriptor : connector_table()) {
    EXPECT_EQ(find_connector(descriptor->type), descriptor);
  }
  EXPECT_EQ(find_connector("restapi"), nullptr);
  EXPECT_EQ(find_connector(""), nullptr);
  ASSERT_NE(find_connector("RestAPI"), nullptr);
  EXPECT_EQ(find_connector("RestAPI")->id, 1u);
}

TEST(ConnectorTable, TypesAndIdsAreUnique) {
  std::set<std::string_view> types;
  std::set<std::uint32_t> ids;
  for (const ConnectorDescriptor* descriptor : connector_table()) {
    EXPECT_TRUE(types.insert(descriptor->type).second) << descriptor->type;
    EXPECT_TRUE(ids.insert(descriptor->id).second) << descriptor->id;
    EXPECT_GT(descriptor->id, 0u);
    EXPECT_NE(descriptor->validate, nullptr);
    EXPECT_NE(descriptor->limits, nullptr);
    EXPECT_NE(descriptor->create, nullptr);
  }
}

void check_field(const json& field) {
  static const std::set<std::string> kKinds = {"string",  "url",  "secret", "integer",
                                               "boolean", "enum", "map",    "headers"};
  static const std::set<std::string> kKeys = {"key",      "kind",    "label",  "help",
                                              "required", "default", "min",    "max",
                                              "values",   "group",   "target", "shapes"};
  for (const auto& [key, value] : field.items()) EXPECT_TRUE(kKeys.count(key)) << key;
  const std::string kind = field.at("kind");
  EXPECT_TRUE(kKinds.count(kind)) << kind;
  EXPECT_FALSE(field.at("key").get<std::string>().empty());
  EXPECT_FALSE(field.at("label").get<std::string>().empty());
  EXPECT_FALSE(field.at("help").get<std::string>().empty());
  EXPECT_EQ(field.contains("values"), kind == "enum");
  if (kind != "integer") {
    EXPECT_FALSE(field.contains("min") || field.contains("max"));
  }
  EXPECT_FALSE(field.value("required", false) && field.contains("default"));
  if (!field.contains("default")) return;
  const json& value = field.at("default");
  if (kind == "enum") {
    const json& values = field.at("values");
    EXPECT_NE(std::find(values.begin(), values.end(), value), values.end());
  } else if (kind == "integer") {
    EXPECT_GE(value.get<std::int64_t>(), field.value("min", std::int64_t{0}));
    EXPECT_LE(value.get<std::int64_t>(), field.value("max", std::int64_t{1} << 62));
  }
}

TEST(ConnectorTable, SchemasKeepToTheVocabulary) {
  for (const ConnectorDescriptor* descriptor : connector_table()) {
    SCOPED_TRACE(descriptor->type);
    const json schema = json::parse(descriptor->schema_json);
    EXPECT_EQ(schema.at("type"), descriptor->type);
    EXPECT_FALSE(schema.at("label").get<std::string>().empty());
    EXPECT_TRUE(schema.at("example").is_object());
    std::set<std::string> keys;
    for (const json& field : schema.at("fields")) {
      SCOPED_TRACE(field.dump());
      check_field(field);
      EXPECT_TRUE(keys.insert(field.at("key")).second);
    }
  }
}

}  // namespace
}  // namespace sluice::connectors
