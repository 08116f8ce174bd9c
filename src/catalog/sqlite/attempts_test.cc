#include "catalog/attempts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace sluice::catalog {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr StreamId kStream{7};
constexpr std::int64_t kNow = 1'795'291'200'000;  // 2026-11-21T20:00:00Z, a full minute

std::shared_ptr<const Exchange> an_exchange(const std::string& body) {
  return std::make_shared<const Exchange>(
      Exchange{"Content-Type: application/json\n", body, true, "Server: x\n", "thanks"});
}

Attempt delivered(std::uint64_t n, std::int64_t at_ms = kNow) {
  Attempt attempt;
  attempt.time = WallTime{at_ms};
  attempt.webhook_id = fmt::format("7-1-{}-{}", n, n + 4);
  attempt.number = 1;
  attempt.first = Offset{n};
  attempt.last = Offset{n + 4};
  attempt.records = 5;
  attempt.bytes = 100;
  attempt.status = 200;
  attempt.latency = milliseconds(12);
  attempt.exchange = an_exchange("[1]");
  return attempt;
}

Attempt failed(std::uint64_t n, std::int64_t at_ms = kNow) {
  Attempt attempt = delivered(n, at_ms);
  attempt.number = 3;
  attempt.status = 503;
  attempt.outcome = AttemptOutcome::Retry;
  attempt.error = "503 later";
  attempt.fault = Fault::Destination;
  return attempt;
}

class Attempts : public testing::Test {
 protected:
  Attempts() {
    std::string pattern = (fs::temp_directory_path() / "attempts-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    settings_.path = directory_ + "/attempts.db";
    open();
  }
  ~Attempts() override {
    log_.reset();
    fs::remove_all(directory_);
  }

  void open(const std::vector<StreamId>& streams = {kStream, StreamId{8}}) {
    log_.reset();
    log_ = open_attempts(settings_, streams, metrics_);
  }
  void add(Attempt attempt, StreamId stream = kStream) {
    log_->stream(stream)->add(std::move(attempt));
  }
  std::vector<AttemptLog::Numbered> all(StreamId stream = kStream) {
    const auto page = log_->list(stream, std::nullopt, 100'000);
    EXPECT_TRUE(page.has_value()) << page.error().message;
    EXPECT_FALSE(page->more);
    return page->attempts;
  }
  std::size_t with_exchange(AttemptOutcome outcome) {
    std::size_t count = 0;
    for (const auto& [number, attempt] : all()) {
      count += attempt.outcome == outcome && attempt.exchange != nullptr ? 1 : 0;
    }
    return count;
  }

  std::string directory_;
  AttemptLog::Settings settings_;
  Metrics metrics_;
  std::unique_ptr<AttemptLog> log_;
};

TEST_F(Attempts, ComeBackNewestFirstAsTheyWere) {
  add(delivered(1));
  Attempt broken = failed(6);
  broken.status.reset();
  broken.broken_off = true;
  broken.fault = Fault::Us;
  broken.exchange = std::make_shared<const Exchange>(Exchange{"a: b\n", "[2]", false, "", ""});
  add(broken);
  for (int opened = 0; opened < 2; ++opened) {
    const auto attempts = all();
    ASSERT_EQ(attempts.size(), 2u);
    const Attempt& newest = attempts[0].second;
    EXPECT_EQ(newest.webhook_id, "7-1-6-10");
    EXPECT_EQ(newest.number, 3u);
    EXPECT_FALSE(newest.status.has_value());
    EXPECT_EQ(newest.outcome, AttemptOutcome::Retry);
    EXPECT_EQ(newest.error, "503 later");
    EXPECT_EQ(newest.fault, Fault::Us);
    ASSERT_NE(newest.exchange, nullptr);
    EXPECT_EQ(newest.exchange->request_headers, "a: b\n");
    EXPECT_EQ(newest.exchange->request_body, "[2]");
    EXPECT_FALSE(newest.exchange->answered);

    const Attempt& first = attempts[1].second;
    EXPECT_EQ(first.time, WallTime{kNow});
    EXPECT_EQ(first.first, Offset{1});
    EXPECT_EQ(first.last, Offset{5});
    EXPECT_EQ(first.records, 5u);
    EXPECT_EQ(first.bytes, 100u);
    EXPECT_EQ(first.status, 200);
    EXPECT_EQ(first.latency, milliseconds(12));
    EXPECT_EQ(first.outcome, AttemptOutcome::Delivered);
    EXPECT_FALSE(first.fault.has_value());
    ASSERT_NE(first.exchange, nullptr);
    EXPECT_TRUE(first.exchange->answered);
    EXPECT_EQ(first.exchange->response_headers, "Server: x\n");
    EXPECT_EQ(first.exchange->response_body, "thanks");
    open();
  }
}

TEST_F(Attempts, ComeInPages) {
  for (std::uint64_t n = 0; n < 7; ++n) add(failed(n));
  std::optional<std::uint64_t> before;
  std::vector<std::uint64_t> firsts;
  for (;;) {
    const auto page = log_->list(kStream, before, 3);
    ASSERT_TRUE(page.has_value());
    ASSERT_LE(page->attempts.size(), 3u);
    for (const auto& [number, attempt] : page->attempts) firsts.push_back(attempt.first.value());
    if (!page->more) break;
    before = page->attempts.back().first;
  }
  EXPECT_EQ(firsts, (std::vector<std::uint64_t>{6, 5, 4, 3, 2, 1, 0}));
}

TEST_F(Attempts, APageEndsWhereItGetsTooLarge) {
  Attempt large = failed(1);
  large.exchange = an_exchange(std::string(1 << 20, 'x'));
  for (int i = 0; i < 6; ++i) add(large);
  const auto page = log_->list(kStream, std::nullopt, 1000);
  ASSERT_TRUE(page.has_value());
  EXPECT_EQ(page->attempts.size(), 4u);
  EXPECT_TRUE(page->more);
}

TEST_F(Attempts, TheOldestGoAndOnlyTheLastSuccessesKeepTheirExchange) {
  settings_.attempts_max = 50;
  settings_.successes_max = 5;
  open();
  // In the queue at once, and by and by.
  for (std::uint64_t n = 0; n < 200; ++n) {
    add(n % 10 == 9 ? failed(n) : delivered(n));
    if (n > 100) (void)log_->list(kStream, std::nullopt, 1).has_value();
  }
  const auto attempts = all();
  ASSERT_EQ(attempts.size(), 50u);
  EXPECT_EQ(attempts.front().second.first, Offset{199});
  EXPECT_EQ(attempts.back().second.first, Offset{150});
  EXPECT_EQ(with_exchange(AttemptOutcome::Retry), 5u);
  EXPECT_EQ(with_exchange(AttemptOutcome::Delivered), 5u);
  for (std::size_t i = 1; i < 6; ++i) EXPECT_NE(attempts[i].second.exchange, nullptr) << i;
  EXPECT_EQ(attempts[6].second.exchange, nullptr);
}

TEST_F(Attempts, AreSummedUpWhereTheQueueIsFull) {
  settings_.queue_bytes_max = 0;
  open();
  for (std::uint64_t n = 0; n < 30; ++n) add(n % 3 == 0 ? failed(n) : delivered(n));
  std::uint64_t count = 0;
  std::uint64_t records = 0;
  for (const auto& [number, attempt] : all()) {  // more than one row if the writer came between
    EXPECT_EQ(attempt.outcome, AttemptOutcome::SummedUp);
    EXPECT_NE(attempt.error.find("attempts in a short time"), std::string::npos);
    EXPECT_EQ(attempt.exchange, nullptr);
    count += attempt.number;
    records += attempt.records;
  }
  EXPECT_EQ(count, 30u);
  EXPECT_EQ(records, 150u);
  EXPECT_NE(metrics_.prometheus_text().find("sluice_attempts_summed_up_total 30"),
            std::string::npos);
  const auto sums = log_->sums(kStream, WallTime{kNow});
  ASSERT_TRUE(sums.has_value());
  EXPECT_EQ(sums->successes, 20u);
  EXPECT_EQ(sums->errors, 10u);
}

TEST_F(Attempts, LoseTheirExchangeFirstWhenTheQueueGetsFull) {
  settings_.queue_bytes_max = 1000;
  open();
  Attempt large = failed(1);
  large.exchange = an_exchange(std::string(4096, 'x'));
  add(large);
  const auto attempts = all();
  ASSERT_EQ(attempts.size(), 1u);
  EXPECT_EQ(attempts[0].second.outcome, AttemptOutcome::Retry);
  EXPECT_EQ(attempts[0].second.exchange, nullptr);
}

TEST_F(Attempts, WhatIsWrittenLeavesTheQueue) {
  for (std::uint64_t n = 0; n < 3000; ++n) add(n % 2 == 0 ? failed(n) : delivered(n));
  EXPECT_EQ(all().size(), 1000u);
  EXPECT_NE(metrics_.prometheus_text().find("sluice_attempts_queue_bytes 0\n"), std::string::npos);
}

TEST_F(Attempts, TheFileStaysWithinItsBytes) {
  settings_.bytes_max = 2 << 20;
  open();
  Attempt large = failed(1);
  for (int i = 0; i < 900; ++i) {
    large.exchange = an_exchange(std::string(8192, 'x'));
    add(large);
    if (i % 100 == 0) (void)log_->list(kStream, std::nullopt, 1).has_value();
  }
  EXPECT_EQ(all().size(), 900u);
  const std::size_t kept = with_exchange(AttemptOutcome::Retry);
  EXPECT_GT(kept, 0u);
  EXPECT_LT(kept, 300u);
  EXPECT_NE(all().front().second.exchange, nullptr);
}

TEST_F(Attempts, SumsCountFromTheirMinuteOnAndThroughRestarts) {
  constexpr std::int64_t kMinute = 60'000;
  add(failed(1, kNow - 3 * kMinute));
  add(delivered(1, kNow - 2 * kMinute));
  add(delivered(2, kNow));
  open();
  Attempt slow = delivered(3, kNow);
  slow.latency = milliseconds(2000);
  add(slow);
  Attempt broken = failed(4, kNow);
  broken.broken_off = true;
  add(broken);
  add(delivered(1, kNow), StreamId{8});

  const auto sums = log_->sums(kStream, WallTime{kNow - 2 * kMinute});
  ASSERT_TRUE(sums.has_value());
  EXPECT_EQ(sums->successes, 3u);
  EXPECT_EQ(sums->errors, 0u);
  EXPECT_EQ(sums->records, 15u);
  EXPECT_EQ(sums->bytes, 300u);
  EXPECT_NEAR(static_cast<double>(sums->latencies.quantile(0.5)->count()), 12e3, 900);
  EXPECT_NEAR(static_cast<double>(sums->latencies.quantile(0.99)->count()), 2e6, 14e4);
  EXPECT_EQ(log_->sums(kStream, WallTime{kNow - 3 * kMinute})->errors, 1u);
  EXPECT_EQ(log_->sums(kStream, WallTime{kNow + kMinute})->successes, 0u);
}

TEST_F(Attempts, OfADeletedStreamNothingStays) {
  const auto stream = log_->stream(kStream);
  stream->add(failed(1));
  ASSERT_EQ(all().size(), 1u);
  stream->add(failed(2));
  add(failed(3), StreamId{8});
  ASSERT_TRUE(log_->forget(kStream).has_value());
  stream->add(failed(4));  // one that was under way
  EXPECT_TRUE(all().empty());
  EXPECT_EQ(log_->sums(kStream, WallTime{0})->errors, 0u);
  EXPECT_EQ(all(StreamId{8}).size(), 1u);
  open({kStream});  // stream 8 was deleted and a crash came between
  EXPECT_TRUE(all(StreamId{8}).empty());
  add(failed(1), StreamId{9});
  EXPECT_EQ(all(StreamId{9}).size(), 1u);
}

TEST_F(Attempts, AStreamsEndMayOutliveTheLog) {
  const auto stream = log_->stream(kStream);
  log_.reset();
  stream->add(delivered(1));
}

TEST_F(Attempts, AreKeptWhenTheLogIsClosed) {
  add(failed(1));
  open();
  EXPECT_EQ(all().size(), 1u);
}

TEST_F(Attempts, ADamagedFileIsMovedAwayAndBegunAnew) {
  add(failed(1));
  ASSERT_EQ(all().size(), 1u);
  log_.reset();
  std::ofstream(settings_.path, std::ios::trunc) << std::string(20'000, 'x');
  open();
  add(failed(2));
  EXPECT_EQ(all().size(), 1u);
  EXPECT_EQ(fs::file_size(settings_.path + ".damaged"), 20'000u);
}

TEST_F(Attempts, DamageThatShowsLaterIsMovedAwayToo) {
  for (int i = 0; i < 900; ++i) add(failed(1));
  ASSERT_EQ(all().size(), 900u);
  log_.reset();
  {
    std::fstream file(settings_.path, std::ios::in | std::ios::out | std::ios::binary);
    const auto size = static_cast<std::streamoff>(fs::file_size(settings_.path));
    file.seekp(4096);  // the head stays
    file << std::string(static_cast<std::size_t>(size) - 4096, 'x');
  }
  open();
  add(failed(2));
  EXPECT_EQ(all().size(), 1u);
  EXPECT_TRUE(fs::exists(settings_.path + ".damaged"));
}

TEST_F(Attempts, AFileThatIsNoneOfOursIsMovedAway) {
  log_.reset();
  fs::remove(settings_.path);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(settings_.path.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "CREATE TABLE other (a)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  open();
  add(failed(1));
  EXPECT_EQ(all().size(), 1u);
  EXPECT_TRUE(fs::exists(settings_.path + ".damaged"));
}

TEST_F(Attempts, WhereNothingCanBeWrittenItSaysSoAndGoesOnWhenItCan) {
  settings_.path = directory_ + "/missing/attempts.db";
  open();
  add(failed(1));
  EXPECT_FALSE(log_->list(kStream, std::nullopt, 10).has_value());
  fs::create_directory(directory_ + "/missing");
  add(failed(2));
  const auto attempts = all();
  ASSERT_EQ(attempts.size(), 1u);
  EXPECT_EQ(attempts[0].second.first, Offset{2});
  EXPECT_NE(metrics_.prometheus_text().find("sluice_attempts_lost_total 1"), std::string::npos);
}

TEST_F(Attempts, SeveralThreadsMayTell) {
  settings_.queue_bytes_max = 64 << 10;
  open();
  constexpr int kEach = 5000;
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 3; ++i) {
    threads.emplace_back([this, i] {
      const auto stream = log_->stream(i == 2 ? kStream : StreamId{8});
      for (int n = 0; n < kEach; ++n) stream->add(n % 2 == 0 ? failed(1) : delivered(1));
    });
  }
  for (int i = 0; i < 20; ++i) (void)log_->list(kStream, std::nullopt, 100).has_value();
  for (std::thread& thread : threads) thread.join();
  const auto one = log_->sums(kStream, WallTime{kNow});
  const auto two = log_->sums(StreamId{8}, WallTime{kNow});
  EXPECT_EQ(one->successes + one->errors, std::uint64_t{kEach});
  EXPECT_EQ(two->successes + two->errors, std::uint64_t{2 * kEach});
  EXPECT_NE(metrics_.prometheus_text().find("sluice_attempts_queue_bytes 0\n"), std::string::npos);
}

}  // namespace
}  // namespace sluice::catalog
