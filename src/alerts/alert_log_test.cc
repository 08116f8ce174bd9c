#include "alerts/alert_log.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "catalog/secret_box.h"
#include "recordlog/local/log_test_support.h"

namespace sluice::alerts {
namespace {

using nlohmann::json;

constexpr OrganisationId kOrganisation{7};

class AlertLogTest : public ::testing::Test {
 protected:
  AlertLogTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-alerts-XXXXXX");
    directory_ = ::mkdtemp(pattern.data());
    catalog_ = *catalog::open_sqlite(directory_ + "/catalog.db", secrets_);
    const catalog::Organisation organisation{kOrganisation, "Utility"};
    EXPECT_TRUE(catalog_->register_organisations({&organisation, 1}));
    catalog::Stream stream;
    stream.organisation = kOrganisation;
    stream.name = "to lake";
    stream.destination = "{}";
    stream_ = catalog_->create_stream(stream, {})->id;
    EXPECT_TRUE(log_.open());
    start();
  }
  ~AlertLogTest() override {
    stop();
    log_.close();
    catalog_.reset();
    std::filesystem::remove_all(directory_);
  }

  void start() {
    threads_ = std::make_unique<IoThreads>(1);
    pool_ = std::make_unique<WorkerPool>("catalog", 1);
    metrics_ = std::make_unique<Metrics>();
    alerts_ = std::make_unique<AlertLog>(
        AlertLog::Dependencies{*threads_, log_.clock, *log_, *catalog_, *pool_, *metrics_});
  }
  void stop() {
    alerts_.reset();
    pool_.reset();
    threads_.reset();
  }

  void alert(AlertKind kind, std::uint64_t records, const std::string& reason = "") {
    alerts_->alert({stream_, kOrganisation, kind, reason, records});
  }
  std::vector<json> stored() {
    std::vector<json> records;
    for (const auto& record : read_all(*log_, kOrganisation).records) {
      records.push_back(json::parse(record.bytes));
    }
    return records;
  }
  // Waits for as many as that.
  std::vector<json> stored(std::size_t count) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (stored().size() < count && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return stored();
  }
  double metric(const std::string& name) {
    const std::string text = "\n" + metrics_->prometheus_text();
    const std::size_t at = text.find("\n" + name + " ");
    return at == text.npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }
  void settle(const std::string& name, double value) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (metric(name) != value && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ASSERT_EQ(metric(name), value) << name;
  }
  void next_hour() { log_.clock.advance_s(3600); }

  std::string directory_;
  const catalog::SecretBox secrets_{KeyBytes{}};
  std::unique_ptr<catalog::Catalog> catalog_;
  testing::FaultyDisk disk_;
  recordlog::TestLog log_{disk_};
  StreamId stream_;
  std::unique_ptr<IoThreads> threads_;
  std::unique_ptr<WorkerPool> pool_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<AlertLog> alerts_;
};

TEST_F(AlertLogTest, OneAnHourAndTheRestIsSummedUpInTheNext) {
  alert(AlertKind::DeadLetters, 1, "400 first");
  const std::vector<json> first = stored(1);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].at("detail").at("data_stream_name"), "to lake");
  EXPECT_EQ(first[0].at("organisation").at("name"), "Utility");
  settle("sluice_alerts_held_back", 0);

  alert(AlertKind::DeadLetters, 2, "400 second");
  alert(AlertKind::DeadLetters, 3, "400 third");
  alert(AlertKind::Error, 0, "410");  // another kind does not wait
  ASSERT_EQ(stored(2).size(), 2u);
  EXPECT_EQ(stored()[1].at("event_type").at("id"), 10'001);
  settle("sluice_alerts_held_back", 2);
  alerts_->flush();
  settle("sluice_alerts_held_back", 2);

  next_hour();
  alerts_->flush();
  const std::vector<json> all = stored(3);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[2].at("detail").at("records"), 5);
  EXPECT_EQ(all[2].at("detail").at("occurrences"), 2);
  EXPECT_EQ(all[2].at("detail").at("reason"), "400 third");
  settle("sluice_alerts_held_back", 0);
  next_hour();
  alerts_->flush();
  alerts_->flush();
  EXPECT_EQ(stored().size(), 3u);
}

TEST_F(AlertLogTest, ARestartDoesNotTellItAgainInTheSameHour) {
  alert(AlertKind::Error, 0, "410");
  ASSERT_EQ(stored(1).size(), 1u);
  stop();
  ASSERT_TRUE(log_.open());
  start();
  alert(AlertKind::Error, 0, "410");
  alert(AlertKind::Recovered, 0);  // comes later, so the other has been judged
  ASSERT_EQ(stored(2).size(), 2u);
  settle("sluice_alerts_held_back", 1);
  next_hour();
  alerts_->flush();
  EXPECT_EQ(stored(3).size(), 3u);
}

TEST_F(AlertLogTest, WhatCannotBeStoredIsStoredLater) {
  disk_.arm({.number = 1, .times = testing::kForever});
  alert(AlertKind::Error, 0, "410");
  settle("sluice_alerts_failed_total", 1);
  alert(AlertKind::Error, 0, "410 again");
  disk_.heal();
  log_.clock.advance_s(60);  // the log begins a new segment after a while
  alerts_->flush();
  for (int i = 0; i < 10'000 && stored().empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    alerts_->flush();
  }
  const std::vector<json> all = stored(1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].at("detail").at("occurrences"), 2);
  EXPECT_EQ(all[0].at("detail").at("reason"), "410 again");
}

}  // namespace
}  // namespace sluice::alerts
