#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <set>

#include "dispatch/fake_log.h"
#include "dispatch/stream_machine.h"
#include "dispatch/whole_batch.h"

// One StreamMachine through a random life: records come and are lost, the journal fails, the
// process is killed, the power is cut, the destination refuses, forgets its answers and lies. Two
// ledgers are compared: what the log holds and what the destination received. A run is one number.

namespace sluice::dispatch {
namespace {

using namespace std::chrono_literals;
using catalog::StreamStatus;

constexpr OrganisationId kOrganisation{7};
constexpr KindSet kWanted{Kind::Event};

// What kill -9 and a power cut leave of a journal.
class FakeJournal {
 public:
  void append(const JournalEntry& entry, bool freeze) { waiting_.push_back({entry, freeze}); }
  bool has_waiting() const { return !waiting_.empty(); }

  struct Committed {
    bool freeze;
    Result<void> result;
  };
  // The group that waits becomes durable, or fails and leaves nobody knows what.
  std::vector<Committed> commit(bool fails, std::mt19937_64& random) {
    Result<void> result;
    if (fails) result = Error{ErrorCode::Io, "injected"};
    std::vector<Committed> committed;
    for (const Waiting& waiting : waiting_) committed.push_back({waiting.freeze, result});
    if (fails) {
      write_some(random);
    } else {
      visible_ = durable_ = waiting_.back().entry;
      unsynced_.clear();
      waiting_.clear();
    }
    return committed;
  }
  void kill(std::mt19937_64& random) { write_some(random); }
  void cut_power(std::mt19937_64& random) {
    write_some(random);
    // Any of what was written and not synced may be the newest that survives.
    const std::size_t kept = random() % (unsynced_.size() + 1);
    if (kept > 0) durable_ = unsynced_[kept - 1];
    visible_ = durable_;
    unsynced_.clear();
  }
  std::optional<JournalEntry> recovered() const { return visible_; }

 private:
  struct Waiting {
    JournalEntry entry;
    bool freeze;
  };
  void write_some(std::mt19937_64& random) {
    const std::size_t written = random() % (waiting_.size() + 1);
    for (std::size_t i = 0; i < written; ++i) {
      unsynced_.push_back(waiting_[i].entry);
      visible_ = waiting_[i].entry;
    }
    waiting_.clear();
  }
  std::vector<Waiting> waiting_;
  std::vector<JournalEntry> unsynced_;
  std::optional<JournalEntry> visible_;
  std::optional<JournalEntry> durable_;
};

struct Outline {  // what a run is like
  bool loses_records = false;
  bool changes_settings = false;
};

class Simulation {
 public:
  Simulation(std::uint64_t seed, Outline outline) : random_(seed), outline_(outline) {
    options_.stream = StreamId{5};
    options_.organisation = kOrganisation;
    choose_limits();
    pace_ = 1 + random_() % 12;
    options_.settings.delivery.initial = Milliseconds(10 + random_() % 3000);
    options_.settings.delivery.error_after = std::chrono::seconds(one_in(3) ? 60 : 86'400);
    if (one_in(2)) options_.settings.delivery.linger = Milliseconds(random_() % 2000);
    if (one_in(3)) options_.settings.delivery.interval = Milliseconds(random_() % 2000);
    options_.chance = [this] { return static_cast<double>(random_() % 2001) / 1000 - 1; };
  }

  void run(int steps) {
    begin();
    for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) step();
    finish();
  }
  std::uint64_t streamed() const { return streamed_; }

 private:
  bool one_in(std::uint64_t n) { return random_() % n == 0; }
  void choose_limits() {
    const std::uint64_t records = one_in(3) ? 1 + random_() % 5 : 1 + random_() % 100;
    const std::uint64_t bytes = one_in(3) ? 30 + random_() % 100 : 30 + random_() % 5000;
    options_.settings.limits = {static_cast<std::uint32_t>(records), bytes};
    if (one_in(3)) options_.settings.limits.held_bytes_max = random_() % 2000;
  }

  // ---- The machine's surroundings --------------------------------------------------------------

  void begin() {
    const Offset end = log_.end(kOrganisation);
    machine_.emplace(options_, StreamMachine::Start{
                                   .status = status_,
                                   .before_pause = before_pause_,
                                   .last_error = "",
                                   .remote_status = {},
                                   .revision = catalog_revision_,
                                   .cursor = {},
                                   .entry = journal_.recovered(),
                                   .end = end,
                               });
    told_end_ = end;
    begun_at_ = journal_.recovered() ? journal_.recovered()->cursor : Offset{};
    settled_in_this_life_ = begun_at_;
    take(machine_->begin(now_));
  }

  void end_life() {
    if (one_in(2)) {
      journal_.kill(random_);
    } else {
      journal_.cut_power(random_);
    }
    if (sending_ != nullptr && whole_ && one_in(2)) receive(*whole_);
    sending_ = nullptr;
    freezing_ = saving_ = false;
    // Status changes are in the catalog before anyone is told.
    status_ = machine_->status();
    before_pause_ = machine_->before_pause();
    if (outline_.changes_settings && one_in(3)) {
      choose_limits();
      catalog_revision_ = machine_->revision() + 1;
    } else if (outline_.changes_settings && one_in(5)) {
      ++options_.settings.render_revision;
      ++renderer_;
    }
    if (outline_.loses_records && one_in(2)) lose();
    machine_.reset();
    now_ += Milliseconds(random_() % 5000);
    begin();
  }

  void take(Actions actions) {
    ASSERT_TRUE(!machine_->wake_at() || *machine_->wake_at() > now_) << "would spin";
    if (actions.freeze) {
      ASSERT_FALSE(freezing_);
      freezing_ = true;
      journal_.append(*actions.freeze, true);
    }
    if (actions.save) {
      ASSERT_FALSE(saving_);
      saving_ = true;
      journal_.append(*actions.save, false);
    }
    for (const connectors::RecordBatch* batch : actions.send) {
      ASSERT_EQ(sending_, nullptr);
      sending_ = batch;
      whole_ = whole_batch(*batch, log_.reader(kOrganisation, kWanted), machine_->selection());
      if (batch->runs.empty()) ++streamed_;
      check_begin(*sending_);
    }
  }

  void commit_journal(bool fails) {
    for (const auto& [freeze, result] : journal_.commit(fails, random_)) {
      (freeze ? freezing_ : saving_) = false;
      take(freeze ? machine_->frozen(result, now_) : machine_->saved(result, now_));
      if (::testing::Test::HasFatalFailure()) return;
    }
  }

  void hear_of_end() {
    told_end_ = log_.end(kOrganisation);
    if (machine_->is_behind()) return machine_->more_ready(told_end_);
    take(machine_->records_ready(told_end_, now_));
  }

  void read(bool fails) {
    const auto from = machine_->wants_read();
    if (!from) return;
    if (fails) {
      take(machine_->read_done(Error{ErrorCode::Io, "injected"}, now_));
    } else {
      take(machine_->read_done(log_.read(kOrganisation, kWanted, *from), now_));
    }
  }

  void answer(bool honest) {
    if (sending_ == nullptr) return;
    using namespace connectors;
    const RecordBatch& batch = *sending_;
    const std::uint64_t dice = honest ? 0 : random_() % 10;
    const bool received = dice <= 6 && whole_;
    if (received) receive(*whole_);
    const Offset last = batch.last;
    SendOutcome outcome{Delivered{}, 200, true};
    if (dice == 6) outcome = {RetryLater{"answer lost", {}, 0}, 502, false};
    if (dice == 7) outcome = {RetryLater{"503", Milliseconds(random_() % 9000), 0}, 503, true};
    if (dice == 8) outcome = {RetryLater{"no connection", {}, 0}, 502, false};
    if (dice == 9) {
      outcome = {one_in(2) ? Decision{Gone{"410"}} : Decision{Misconfigured{"401"}}, 400, true};
    }
    if (!whole_) {
      outcome = {RetryLater{"records were lost", {}, 0}, 502, false, Fault::Us};
    } else if (dice <= 5) {
      acknowledge(*whole_);
      settled_in_this_life_ = next(last);
    }
    sending_ = nullptr;
    take(machine_->sent(batch, outcome, now_));
  }

  void store() {
    const Kind kind = one_in(3) ? Kind::Usage : Kind::Event;
    std::vector<std::string> records;
    for (std::uint64_t i = 1 + random_() % 15; i > 0; --i) {
      records.push_back(fmt::format("{}{}", number_++, std::string(random_() % 60, 'x')));
    }
    const Offset first = log_.store(kOrganisation, kind, records);
    chunks_.push_back({first, records.size(), kind});
    if (kind != Kind::Event) return;
    for (std::size_t i = 0; i < records.size(); ++i) {
      wanted_[plus(first, i)] = records[i];
      missing_.insert(plus(first, i));
    }
  }

  // The oldest, or one of those that are on their way.
  void lose() {
    const bool age = one_in(2);
    std::size_t index = aged_out_;
    if (!age) {
      while (index < chunks_.size() && chunks_[index].first < machine_->cursor()) ++index;
      index += random_() % 4;
    }
    if (index >= chunks_.size()) return;
    if (age) ++aged_out_;
    const auto& [first, count, kind] = chunks_[index];
    log_.lose(kOrganisation, first, age ? FakeLog::Loss::AgedOut : FakeLog::Loss::Damaged);
    loses_ = true;
    for (std::size_t i = 0; i < count; ++i) missing_.erase(plus(first, i));
  }

  void step() {
    switch (random_() % 16) {
      case 0:
      case 1:
        if (one_in(pace_)) store();
        break;
      case 2:
      case 3: hear_of_end(); break;
      case 4:
      case 5:
      case 6: read(one_in(30)); break;
      case 7:
      case 8:
        if (journal_.has_waiting()) commit_journal(one_in(10));
        break;
      case 9:
      case 10:
      case 11: answer(false); break;
      case 12:
      case 13:
        now_ += Milliseconds(random_() % (one_in(10) ? 100'000 : 500));
        take(machine_->timer(now_));
        break;
      case 14: command(); break;
      case 15:
        if (one_in(8)) {
          end_life();
        } else if (one_in(3)) {
          take(machine_->release(now_));
        } else if (outline_.loses_records && one_in(4)) {
          lose();
        }
        break;
    }
  }

  void command() {
    const auto any = static_cast<Command>(random_() % 3);
    auto actions = machine_->command(any, now_);
    if (actions) take(std::move(*actions));
  }

  // The world heals: all that is left arrives.
  void finish() {
    for (int i = 0; i < 100'000 && !::testing::Test::HasFatalFailure(); ++i) {
      if (machine_->status() == StreamStatus::Paused) {
        take(*machine_->command(Command::Resume, now_));
      } else if (machine_->status() == StreamStatus::Error) {
        take(*machine_->command(Command::Restart, now_));
      } else if (told_end_ != log_.end(kOrganisation)) {
        hear_of_end();
      } else if (machine_->wants_read()) {
        read(false);
      } else if (journal_.has_waiting()) {
        commit_journal(false);
      } else if (sending_ != nullptr) {
        answer(true);
      } else if (machine_->wake_at()) {
        now_ = *machine_->wake_at();
        take(machine_->timer(now_));
      } else {
        break;
      }
    }
    if (::testing::Test::HasFatalFailure()) return;
    ASSERT_EQ(machine_->cursor(), log_.end(kOrganisation));
    ASSERT_EQ(journal_.recovered()->cursor, machine_->cursor());
    ASSERT_EQ(machine_->memory_bytes(), 0u);
    ASSERT_TRUE(missing_.empty()) << "record " << missing_.begin()->value() << " never arrived";
    if (!loses_) {
      ASSERT_EQ(machine_->delivered(), wanted_.size());
    } else {
      ASSERT_LE(machine_->delivered(), acknowledged_.size());
    }
  }

  // ---- The promises ----------------------------------------------------------------------------

  static std::string bytes_of(const connectors::RecordBatch& batch) {
    std::string bytes;
    for (const connectors::RecordRun& run : batch.runs) {
      if (!bytes.empty()) bytes += ',';
      bytes += run.joined();
    }
    return bytes;
  }

  // Before an attempt: order, and no needless repeat.
  void check_begin(const connectors::RecordBatch& batch) {
    SCOPED_TRACE(batch.webhook_id);
    ASSERT_GE(batch.first, settled_in_this_life_) << "was delivered already";
    ASSERT_TRUE(missing_.empty() || *missing_.begin() >= batch.first)
        << "overtakes record " << missing_.begin()->value();
    std::optional<Offset> before;
    const auto at = acknowledged_.lower_bound(batch.first);
    if (at != acknowledged_.begin()) before = *std::prev(at);
    // Older only where what was delivered before a crash was lost before it could go again.
    ASSERT_TRUE(loses_ ? batch.previous <= before : batch.previous == before);
  }

  void receive(const connectors::RecordBatch& batch) {
    SCOPED_TRACE(batch.webhook_id);
    ASSERT_EQ(batch.webhook_id, fmt::format("5-{}-{}-{}", machine_->revision(), batch.first.value(),
                                            batch.last.value()));
    const std::string bytes = fmt::format("renderer {}: {}", renderer_, bytes_of(batch));
    const auto [known, is_new] = received_.emplace(batch.webhook_id, bytes);
    ASSERT_EQ(known->second, bytes) << "the same id stands for other bytes";
    std::uint32_t records = 0;
    std::optional<Offset> last;
    for (const connectors::RecordRun& run : batch.runs) {
      for (std::uint32_t i = run.begin; i < run.end; ++i, ++records) {
        const Offset offset = plus(run.chunk->first, i);
        ASSERT_TRUE(last ? offset > *last : offset == batch.first);
        last = offset;
        ASSERT_TRUE(wanted_.contains(offset));
        ASSERT_EQ(run.chunk->record(i), wanted_[offset]);
        const auto [under, first_time] = batch_of_.emplace(offset, batch.webhook_id);
        if (!outline_.loses_records && !outline_.changes_settings) {
          ASSERT_EQ(under->second, batch.webhook_id) << "cut anew for no reason";
        }
      }
    }
    ASSERT_EQ(last, batch.last);
    ASSERT_EQ(records, batch.records);
  }

  void acknowledge(const connectors::RecordBatch& batch) {
    for (const connectors::RecordRun& run : batch.runs) {
      for (std::uint32_t i = run.begin; i < run.end; ++i) {
        acknowledged_.insert(plus(run.chunk->first, i));
        missing_.erase(plus(run.chunk->first, i));
      }
    }
  }

  std::mt19937_64 random_;
  const Outline outline_;
  StreamMachine::Options options_;
  SteadyTime now_{1'000'000s};
  FakeLog log_;
  FakeJournal journal_;
  std::optional<StreamMachine> machine_;
  StreamStatus status_ = StreamStatus::Running;
  StreamStatus before_pause_ = StreamStatus::Running;
  std::uint32_t catalog_revision_ = 1;
  int renderer_ = 0;
  std::uint64_t pace_ = 1;  // how slowly records come

  Offset told_end_;
  bool freezing_ = false;
  bool saving_ = false;
  const connectors::RecordBatch* sending_ = nullptr;
  std::optional<connectors::RecordBatch> whole_;  // as it is received; none: part of it is lost
  std::uint64_t streamed_ = 0;                    // attempts of batches that are not held
  Offset begun_at_;
  Offset settled_in_this_life_;

  struct StoredChunk {
    Offset first;
    std::size_t count;
    Kind kind;
  };
  std::vector<StoredChunk> chunks_;
  std::size_t aged_out_ = 0;
  std::uint64_t number_ = 0;
  std::map<Offset, std::string> wanted_;
  std::set<Offset> missing_;  // wanted, neither acknowledged nor lost
  bool loses_ = false;
  std::set<Offset> acknowledged_;
  std::map<std::string, std::string> received_;  // bytes by webhook-id
  std::map<Offset, std::string> batch_of_;       // the first webhook-id it came under
};

void simulate(Outline outline) {
  const char* chosen = std::getenv("SLUICE_SEED");
  const std::uint64_t first = chosen != nullptr ? std::stoull(chosen) : 1;
  const std::uint64_t last = chosen != nullptr ? first : 300;
  std::uint64_t streamed = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(fmt::format("SLUICE_SEED={}", seed));
    Simulation simulation(seed, outline);
    simulation.run(1500);
    if (::testing::Test::HasFatalFailure()) return;
    streamed += simulation.streamed();
  }
  EXPECT_TRUE(chosen != nullptr || streamed > 0) << "no batch was read while it was sent";
}

TEST(StreamSimulation, CrashesAndALyingDestination) { simulate({}); }
TEST(StreamSimulation, RecordsAgeOutAndAreDamaged) { simulate({.loses_records = true}); }
TEST(StreamSimulation, SettingsChangeBetweenLives) {
  simulate({.loses_records = true, .changes_settings = true});
}

}  // namespace
}  // namespace sluice::dispatch
