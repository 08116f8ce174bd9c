// Goal: no acknowledged record is lost, none invented, no offset ever stands for two records, and
// one fault does not outlast itself. Method: fail the n-th operation of the disk, cut the power,
// reopen, compare with a ledger; n grows until a run ends without its fault.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "recordlog/inspect.h"
#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

using testing::DiskFault;
using testing::FaultyDisk;

constexpr std::int64_t kRetention = 10'000;

class Ledger {
 public:
  void attempted(OrganisationId organisation, std::int64_t id, std::string text, WallTime time,
                 bool acknowledged) {
    attempts_[organisation].push_back({std::move(text), id, time, acknowledged});
  }

  // Everything that must be readable is, in order, and offsets mean what they meant before.
  // Records of before `kept_from` may be gone.
  void check(LocalLog& log, WallTime kept_from) {
    for (const auto& [organisation, attempts] : attempts_) {
      SCOPED_TRACE(fmt::format("organisation {}", organisation.value()));
      const ReadAll all = read_all(log, organisation);
      ASSERT_FALSE(all.error) << all.error->message;
      EXPECT_EQ(all.damaged, 0u);
      auto attempt = attempts.begin();
      for (const StoredRecord& record : all.records) {
        const auto found = std::find_if(attempt, attempts.end(), [&](const Attempt& a) {
          return a.id == record.id && a.text == record.bytes;
        });
        ASSERT_NE(found, attempts.end()) << "invented or out of order: id " << record.id;
        for (; attempt != found; ++attempt) check_may_be_missing(*attempt, all, kept_from);
        ++attempt;
        check_offset(organisation, record);
      }
      for (; attempt != attempts.end(); ++attempt) check_may_be_missing(*attempt, all, kept_from);
    }
  }

 private:
  struct Attempt {
    std::string text;
    std::int64_t id;
    WallTime time;
    bool acknowledged;
  };

  static void check_may_be_missing(const Attempt& attempt, const ReadAll& all, WallTime kept_from) {
    if (!attempt.acknowledged) return;
    EXPECT_LT(attempt.time, kept_from) << "lost: id " << attempt.id;
    EXPECT_GT(all.aged_out, 0u) << "deleted in silence: id " << attempt.id;
  }

  void check_offset(OrganisationId organisation, const StoredRecord& record) {
    const auto [known, is_new] = seen_.try_emplace({organisation, record.offset}, record.bytes);
    EXPECT_EQ(known->second, record.bytes) << "offset " << record.offset.value() << " reused";
    if (!is_new) return;
    const auto next = std::next(known);
    const bool newest = next == seen_.end() || next->first.first != organisation;
    EXPECT_TRUE(newest) << "offset " << record.offset.value() << " handed out late";
  }

  std::map<OrganisationId, std::vector<Attempt>> attempts_;
  std::map<std::pair<OrganisationId, Offset>, std::string> seen_;
};

// A life of a log: appends of all sizes that roll segments, retention, reopening.
class Life {
 public:
  Life(FaultyDisk& disk, std::uint64_t seed) : disk_(disk), log_(disk), random_(seed) {
    log_.settings.retention_s = kRetention;
  }

  // False: a fault that does not pass has ended it.
  bool live(bool fault_passes) {
    for (int step = 0; step < 30; ++step) {
      if (!log_.is_open() && !log_.open()) {
        if (!fault_passes || !log_.open()) return false;
      }
      switch (step % 15) {
        case 7: let_time_pass(); break;
        case 2:
        case 5:
        case 12: check_now(); break;
        case 9: run_retention(); break;
        case 14: log_.close(); break;
        default: append_some(); break;
      }
      if (::testing::Test::HasFailure()) return false;
    }
    return true;
  }

  // What an operator finds after the machine has come back.
  void recover_and_check() {
    log_.close();
    const Result<void> opened = log_.open();
    ASSERT_TRUE(opened) << opened.error().message;
    ledger_.check(*log_, kept_from_);
    const Result<void> health = log_->health();
    EXPECT_TRUE(health) << health.error().message;
    EXPECT_TRUE(append_some()) << "does not take appends after recovery";
    ledger_.check(*log_, kept_from_);
  }
  void close() { log_.close(); }
  int failed_appends() const { return failed_appends_; }

  void check_now() {
    if (log_.is_open()) ledger_.check(*log_, kept_from_);
  }

 private:
  bool append_some() {
    std::vector<std::future<Result<void>>> results;
    std::vector<std::vector<std::pair<OrganisationId, std::int64_t>>> ids;
    std::vector<std::string> texts;
    std::map<std::int64_t, std::string> text_of;
    const int requests = 1 + static_cast<int>(random_() % 3);
    for (int r = 0; r < requests; ++r) {
      RequestMaker maker;
      ids.emplace_back();
      for (int g = 0, groups = 1 + static_cast<int>(random_() % 2); g < groups; ++g) {
        const OrganisationId organisation{random_() % 4};
        maker.group(organisation, random_() % 3 == 0 ? Kind::Usage : Kind::Event);
        for (int n = 0, count = 1 + static_cast<int>(random_() % 8); n < count; ++n) {
          const std::size_t size = random_() % 20 == 0 ? 9'000 : 50 + random_() % 900;
          text_of[next_id_] = record_text(organisation, next_id_, size);
          maker.record(text_of[next_id_], next_id_);
          ids.back().emplace_back(organisation, next_id_++);
        }
      }
      auto promise = std::make_shared<std::promise<Result<void>>>();
      results.push_back(promise->get_future());
      log_->append(maker.make(), [promise](Result<void> result) { promise->set_value(result); });
    }
    bool all = true;
    for (std::size_t r = 0; r < results.size(); ++r) {
      const bool acknowledged = results[r].get().has_value();
      all &= acknowledged;
      failed_appends_ += acknowledged ? 0 : 1;
      for (const auto& [organisation, id] : ids[r]) {
        ledger_.attempted(organisation, id, text_of[id], log_.clock.now(), acknowledged);
      }
    }
    return all;
  }

  // From here on the commit thread may delete what is now too old, at any moment.
  void let_time_pass() {
    log_.clock.advance_s(kRetention / 4);
    kept_from_ = {log_.clock.now().ms - kRetention * 1000};
  }

  void run_retention() {
    log_->run_retention();
    ledger_.check(*log_, kept_from_);
  }

  FaultyDisk& disk_;
  TestLog log_;
  std::mt19937_64 random_;
  Ledger ledger_;
  WallTime kept_from_;
  std::int64_t next_id_ = 1;
  int failed_appends_ = 0;
};

// Runs lives with the fault at the first, second, ... operation until none is hit.
template <class After>
void with_fault_at_every_operation(DiskFault fault, After after) {
  const bool passes = fault.times != testing::kForever;
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(fmt::format("fault at operation {} (also the seed)", n));
    FaultyDisk disk({.seed = n});
    Life life(disk, n);
    fault.number = n;
    disk.arm(fault);
    const bool lived = life.live(passes);
    const bool fired = disk.fault_fired();
    EXPECT_TRUE(lived || fired);
    after(disk, life);
    if (::testing::Test::HasFailure() || !fired) break;
  }
}

void cut_power_and_check(FaultyDisk& disk, Life& life) {
  disk.power_off();
  life.close();
  disk.power_on();
  life.recover_and_check();
}

TEST(LogFaults, AcknowledgedRecordsSurviveOneFailedOperationAndAPowerCut) {
  with_fault_at_every_operation({}, [](FaultyDisk& disk, Life& life) {
    EXPECT_LE(life.failed_appends(), 3) << "one fault must fail no more than one group";
    cut_power_and_check(disk, life);
  });
}

TEST(LogFaults, AcknowledgedRecordsSurviveATornWriteAndAFullDisk) {
  with_fault_at_every_operation({.code = ErrorCode::ResourceExhausted, .torn = true},
                                [](FaultyDisk& disk, Life& life) {
                                  EXPECT_LE(life.failed_appends(), 3);
                                  cut_power_and_check(disk, life);
                                });
}

// From some operation on nothing works any more: the machine dies, in the middle of a write.
TEST(LogFaults, AcknowledgedRecordsSurviveAPowerCutAtAnyOperation) {
  with_fault_at_every_operation({.times = testing::kForever, .torn = true}, cut_power_and_check);
}

// The disk is full for a while, then is not: no restart is needed.
TEST(LogFaults, AFaultThatLastsAWhilePassesByItself) {
  with_fault_at_every_operation({.times = 5, .code = ErrorCode::ResourceExhausted},
                                [](FaultyDisk& disk, Life& life) {
                                  life.check_now();
                                  disk.heal();
                                  life.recover_and_check();
                                });
}

// Two faults: the first one's traces must not mislead the recovery from the second.
TEST(LogFaults, PowerCutsInARowLoseNothing) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    FaultyDisk disk({.seed = seed});
    Life life(disk, seed);
    std::mt19937_64 random(seed);
    for (int cut = 0; cut < 6 && !HasFailure(); ++cut) {
      disk.arm({.number = 1 + random() % 120, .times = testing::kForever, .torn = true});
      life.live(/*fault_passes=*/false);
      cut_power_and_check(disk, life);
    }
    if (HasFailure()) break;
  }
}

// A process that dies loses nothing that it wrote, but must make it durable before it shows it.
TEST(LogFaults, WhatRecoveryShowedOnceIsThereAfterAPowerCut) {
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(fmt::format("fault at operation {}", n));
    FaultyDisk disk({.seed = n});
    Life life(disk, n);
    disk.arm({.number = n, .times = testing::kForever, .torn = true});
    life.live(/*fault_passes=*/false);
    const bool fired = disk.fault_fired();
    life.close();  // as if killed: every write of the destructor fails
    disk.heal();
    life.recover_and_check();
    cut_power_and_check(disk, life);
    if (HasFailure() || !fired) break;
  }
}

}  // namespace
}  // namespace sluice::recordlog
