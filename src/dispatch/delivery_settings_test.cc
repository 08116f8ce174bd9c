#include "dispatch/delivery_settings.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::dispatch {
namespace {

using nlohmann::json;

std::vector<std::string> properties_at_fault(const char* text) {
  std::vector<DeliveryFault> faults;
  const auto settings = parse_delivery(json::parse(text), faults);
  EXPECT_EQ(settings.has_value(), faults.empty());
  std::vector<std::string> properties;
  for (const DeliveryFault& fault : faults) properties.push_back(fault.property);
  return properties;
}

TEST(DeliverySettings, EmptyObjectGivesTheDefaults) {
  const auto settings = parse_delivery(json::object());
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(*settings, DeliverySettings{});
  EXPECT_EQ(settings->initial.count(), 8000);
  EXPECT_EQ(settings->error_after.count(), 86400);
}

TEST(DeliverySettings, EveryPropertyIsTaken) {
  const auto settings = parse_delivery(json::parse(
      R"({"preset": "emnify", "retry": {"initial_ms": 10, "max_ms": 20, "jitter": 0.5},
          "timeout_ms": 100, "error_after_s": 1, "linger_ms": 3600000, "interval_ms": 7,
          "success": "200", "misconfigured_in_a_row": 3, "rejected_in_a_row": 0,
          "on_rejected": "halt", "max_age_s": 12})"));
  ASSERT_TRUE(settings.has_value());
  DeliverySettings expected;
  expected.misconfigured_in_a_row = 3;
  expected.rejected_in_a_row = 0;
  expected.halt_on_rejected = true;
  expected.max_age = std::chrono::seconds(12);
  expected.initial = Milliseconds(10);
  expected.max = Milliseconds(20);
  expected.jitter = 0.5;
  expected.timeout = Milliseconds(100);
  expected.error_after = std::chrono::seconds(1);
  expected.linger = Milliseconds(3'600'000);
  expected.interval = Milliseconds(7);
  expected.success_200_only = true;
  EXPECT_EQ(*settings, expected);
}

TEST(DeliverySettings, TheDefaultsMayBeSaid) {
  const auto settings = parse_delivery(json::parse(
      R"({"misconfigured_in_a_row": 8, "rejected_in_a_row": 5, "on_rejected": "park",
          "max_age_s": null, "parallel": 1})"));
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(*settings, DeliverySettings{});
}

TEST(DeliverySettings, WhatALaterVersionHonoursSaysSo) {
  const auto refused = parse_delivery(json::parse(R"({"preset": "dt"})"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("not available yet"), std::string::npos);
}

TEST(DeliverySettings, SoManyRequestsAtATime) {
  for (const std::uint32_t parallel : {1u, 2u, 64u}) {
    const auto settings = parse_delivery(json{{"parallel", parallel}});
    ASSERT_TRUE(settings.has_value());
    EXPECT_EQ(settings->parallel, parallel);
  }
}

TEST(DeliverySettings, WhatMakesNoSenseNamesItsProperty) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"([])", "delivery"},
      {R"({"preset": "dt"})", "delivery.preset"},
      {R"({"preset": 1})", "delivery.preset"},
      {R"({"retry": 5})", "delivery.retry"},
      {R"({"retry": {"initial_ms": 9}})", "delivery.retry.initial_ms"},
      {R"({"retry": {"initial_ms": 3600001}})", "delivery.retry.initial_ms"},
      {R"({"retry": {"initial_ms": 8000, "max_ms": 100}})", "delivery.retry.max_ms"},
      {R"({"retry": {"jitter": 1.01}})", "delivery.retry.jitter"},
      {R"({"retry": {"jitter": "0.1"}})", "delivery.retry.jitter"},
      {R"({"retry": {"factor": 2}})", "delivery.retry.factor"},
      {R"({"timeout_ms": 99})", "delivery.timeout_ms"},
      {R"({"timeout_ms": 18446744073709551615})", "delivery.timeout_ms"},
      {R"({"timeout_ms": 1000.0})", "delivery.timeout_ms"},
      {R"({"timeout_ms": true})", "delivery.timeout_ms"},
      {R"({"error_after_s": 0})", "delivery.error_after_s"},
      {R"({"linger_ms": -1})", "delivery.linger_ms"},
      {R"({"interval_ms": null})", "delivery.interval_ms"},
      {R"({"success": 200})", "delivery.success"},
      {R"({"parallel": 0})", "delivery.parallel"},
      {R"({"parallel": 65})", "delivery.parallel"},
      {R"({"misconfigured_in_a_row": 0})", "delivery.misconfigured_in_a_row"},
      {R"({"rejected_in_a_row": 1001})", "delivery.rejected_in_a_row"},
      {R"({"rejected_in_a_row": "5"})", "delivery.rejected_in_a_row"},
      {R"({"max_age_s": 0})", "delivery.max_age_s"},
      {R"({"on_rejected": "shred"})", "delivery.on_rejected"},
      {R"({"colour": "red"})", "delivery.colour"},
  };
  for (const auto& [text, property] : cases) {
    EXPECT_EQ(properties_at_fault(text), std::vector<std::string>{property}) << text;
  }
}

TEST(DeliverySettings, AllFaultsAreReportedAtOnce) {
  EXPECT_EQ(
      properties_at_fault(R"({"timeout_ms": 1, "retry": {"jitter": 2}, "x": 1})"),
      (std::vector<std::string>{"delivery.retry.jitter", "delivery.timeout_ms", "delivery.x"}));
  const auto settings = parse_delivery(json::parse(R"({"timeout_ms": 1, "x": 1})"));
  ASSERT_FALSE(settings.has_value());
  EXPECT_EQ(settings.error().code, ErrorCode::InvalidArgument);
  EXPECT_NE(settings.error().message.find("delivery.timeout_ms"), std::string::npos);
  EXPECT_NE(settings.error().message.find("delivery.x"), std::string::npos);
}

}  // namespace
}  // namespace sluice::dispatch
