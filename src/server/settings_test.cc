#include "server/settings.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace sluice::server {
namespace {

class SettingsFile : public testing::Test {
 protected:
  ~SettingsFile() override { std::remove(path_.c_str()); }

  Result<Settings> load(const std::string& text) {
    std::ofstream(path_) << text;
    return load_settings(path_);
  }

  std::string path_ = testing::TempDir() + "sluice-settings-test.toml";
};

TEST_F(SettingsFile, TheFileOverridesDefaultsAndTheEnvironmentTheFile) {
  setenv("SLUICE_LIMITS_CONNECTIONS_MAX", "77", 1);
  setenv("SLUICE_EGRESS_ALLOW", "10.0.0.0/8,127.0.0.1:9", 1);
  const auto settings = load(
      "[server]\nlisten = \"127.0.0.1:9\"\n[limits]\nconnections_max = 5\nheader_bytes_max = "
      "2048\n");
  unsetenv("SLUICE_LIMITS_CONNECTIONS_MAX");
  unsetenv("SLUICE_EGRESS_ALLOW");
  ASSERT_TRUE(settings.has_value()) << settings.error().message;
  EXPECT_EQ(settings->listen, "127.0.0.1:9");
  EXPECT_EQ(settings->connections_max, 77u);
  EXPECT_EQ(settings->header_bytes_max, 2048u);
  EXPECT_EQ(settings->allow, (std::vector<std::string>{"10.0.0.0/8", "127.0.0.1:9"}));
  EXPECT_EQ(settings->retention_days, 20u);
  EXPECT_TRUE(check(*settings).has_value());
}

TEST_F(SettingsFile, FaultsNameTheSettingAndWhatWouldBeRight) {
  const std::pair<const char*, const char*> faults[] = {
      {"[server]\nlisten = 1\n", "server.listen must be a string"},
      {"[server]\ncolour = 1\n", "unknown setting server.colour"},
      {"listen = 1\n", "stand in sections"},
      {"[ingest]\nredact_tokens = \"yes\"\n", "true or false"},
      {"[recordlog]\nsegment_bytes = 1\n", "recordlog.segment_bytes must be from 1048576"},
      {"[recordlog]\nsegment_bytes = -1\n", "zero or more"},
      {"[egress]\nallow = [1]\n", "a list of strings"},
      {"x", "line 1"},
      {"[issuers]\niss = \"x\"\n", "[[issuers]]"},
      {"[[issuers]]\niss = 1\n", "issuers.iss must be a text"},
      {"[[issuers]]\ncolour = 1\n", "unknown setting issuers.colour"},
      {"[[issuers]]\nmax_role = \"root\"\n", "issuers.max_role must be operator"},
      {"[[issuers]]\norganisations = []\n", "issuers.organisations must be a list"},
  };
  for (const auto& [text, message] : faults) {
    const auto settings = load(text);
    ASSERT_FALSE(settings.has_value()) << text;
    EXPECT_NE(settings.error().message.find(message), std::string::npos)
        << settings.error().message;
  }
}

TEST_F(SettingsFile, WhatIsPrintedIsTheDefaults) {
  const auto settings = load(settings_text());
  ASSERT_TRUE(settings.has_value()) << settings.error().message;
  const Settings defaults;
  EXPECT_EQ(settings->listen, defaults.listen);
  EXPECT_EQ(settings->insecure, defaults.insecure);
  EXPECT_EQ(settings->body_bytes_in_memory_max, defaults.body_bytes_in_memory_max);
  EXPECT_EQ(settings->trusted_proxies, defaults.trusted_proxies);
  EXPECT_TRUE(check(*settings).has_value());
}

TEST_F(SettingsFile, IssuersAreReadOneByOneAndTheirFilesChecked) {
  const auto settings = load(
      "[[issuers]]\niss = \"a\"\nkey_file = \"/nowhere/a.pem\"\n[[issuers]]\niss = \"b\"\n"
      "jwks_file = \"/nowhere/b.json\"\nmax_role = \"viewer\"\norganisations = [1, 2]\n"
      "audience = \"us\"\n");
  ASSERT_TRUE(settings.has_value()) << settings.error().message;
  ASSERT_EQ(settings->issuers.size(), 2u);
  EXPECT_EQ(settings->issuers[0].key_file, "/nowhere/a.pem");
  EXPECT_EQ(settings->issuers[0].role_max, Role::Admin);
  EXPECT_EQ(settings->issuers[1].role_max, Role::Viewer);
  EXPECT_EQ(settings->issuers[1].organisations,
            (std::vector<OrganisationId>{OrganisationId{1}, OrganisationId{2}}));
  EXPECT_EQ(settings->issuers[1].audience, "us");
  const Result<void> checked = check(*settings);
  ASSERT_FALSE(checked.has_value());
  EXPECT_NE(checked.error().message.find("/nowhere/a.pem"), std::string::npos);
}

TEST(SettingsEnvironment, AMistypedNameIsAnErrorThatNamesIt) {
  setenv("SLUICE_EGRESS_ALOW", "10.0.0.0/8", 1);
  setenv("SLUICE_TOKEN", "of the commands", 1);
  const auto settings = load_settings(std::nullopt);
  unsetenv("SLUICE_EGRESS_ALOW");
  unsetenv("SLUICE_TOKEN");
  ASSERT_FALSE(settings.has_value());
  EXPECT_NE(settings.error().message.find("SLUICE_EGRESS_ALOW"), std::string::npos);
}

TEST(SettingsEnvironment, ASettingInAnUnknownSectionIsAnErrorThatNamesTheRightOne) {
  setenv("SLUICE_LIMIT_CONNECTIONS_MAX", "5", 1);
  const auto settings = load_settings(std::nullopt);
  unsetenv("SLUICE_LIMIT_CONNECTIONS_MAX");
  ASSERT_FALSE(settings.has_value());
  EXPECT_NE(settings.error().message.find("SLUICE_LIMIT_CONNECTIONS_MAX"), std::string::npos);
  EXPECT_NE(settings.error().message.find("SLUICE_LIMITS_CONNECTIONS_MAX"), std::string::npos);
}

TEST(SettingsEnvironment, WhatMayBeSomebodyElsesIsNamedAndStopsNothing) {
  const char* const names[] = {"SLUICE_SERVICE_HOST", "SLUICE_URL", "SLUICE_EGRESS_ALLOW"};
  for (const char* name : names) setenv(name, "10.0.0.1", 1);
  EXPECT_TRUE(load_settings(std::nullopt).has_value());
  const std::vector<std::string> foreign = foreign_environment();
  for (const char* name : names) unsetenv(name);
  const auto count = [&foreign](std::string_view name) {
    return std::count(foreign.begin(), foreign.end(), name);
  };
  EXPECT_EQ(count("SLUICE_SERVICE_HOST"), 1);
  EXPECT_EQ(count("SLUICE_URL") + count("SLUICE_EGRESS_ALLOW"), 0) << "known";
}

TEST(SettingsCheck, RefusesWhatMakesNoSenseTogether) {
  Settings open_to_the_world;
  open_to_the_world.listen = "0.0.0.0:8080";
  EXPECT_FALSE(check(open_to_the_world).has_value());
  open_to_the_world.insecure = true;
  EXPECT_TRUE(check(open_to_the_world).has_value());

  Settings records_beyond_bodies;
  records_beyond_bodies.body_bytes_max = 1024;
  EXPECT_FALSE(check(records_beyond_bodies).has_value());

  Settings level;
  level.level = "loud";
  EXPECT_FALSE(check(level).has_value());
}

TEST(SettingsCheck, KnowsLoopback) {
  for (const char* address : {"127.0.0.1:0", "127.1.2.3:80", "[::1]:80", "localhost:80"}) {
    EXPECT_TRUE(is_loopback(address)) << address;
  }
  for (const char* address :
       {"0.0.0.0:0", "[::]:80", "192.0.2.1:80", "example.com:80", "127.example.com:80"}) {
    EXPECT_FALSE(is_loopback(address)) << address;
  }
}

}  // namespace
}  // namespace sluice::server
