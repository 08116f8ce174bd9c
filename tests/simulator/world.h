#pragma once
// What the simulated streams live in: time, records with the ledger of what the log acknowledged,
// the disk with log, journal, catalog and dead letters on it.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "catalog/catalog.h"
#include "catalog/dead_letters.h"
#include "catalog/replays.h"
#include "catalog/under_way.h"
#include "dispatch/journal.h"
#include "dispatch/parked_letters.h"
#include "filters/filter.h"
#include "model/ids.h"
#include "model/kind.h"
#include "recordlog/local/local_log.h"
#include "support/disk_vfs.h"
#include "support/faulty_disk.h"

namespace sluice::simulator {

// A promise that was broken. It never leaves the program.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class ManualClock final : public Clock {
 public:
  WallTime now() const override { return {1'700'000'000'000 + passed_.count()}; }
  SteadyTime steady() const override { return SteadyTime{std::chrono::seconds{1000} + passed_}; }
  void advance(std::chrono::milliseconds time) { passed_ += time; }
  void advance_to(SteadyTime time) {
    passed_ += std::chrono::ceil<std::chrono::milliseconds>(time - steady());
  }

 private:
  std::chrono::milliseconds passed_{0};
};

struct Record {
  Kind kind = Kind::Event;
  std::int64_t endpoint_id = 0;
  std::string bytes;
  std::uint32_t life = 0;  // of the process that was given it
  WallTime stored;
  std::optional<Offset> offset;  // once it is known
  bool acknowledged = false;
};

inline constexpr std::int64_t kEndpoints = 6;
std::string name_of(std::int64_t endpoint);

// The records of one organisation, by number; the number is their `id`.
struct Ledger {
  OrganisationId id;
  std::vector<Record> records;
  std::map<Offset, std::size_t> by_offset;  // known ones
};

struct World {
  explicit World(std::uint64_t seed, Metrics& metrics_in);

  std::uint64_t below(std::uint64_t n) { return random() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  // Opens what lies on the disk; one that fails has it tried again after a power cut.
  void begin_life();
  // kill -9 or a power cut.
  void end_life();
  // Everything is closed; then the power may go.
  void stop();
  // Some records of one organisation and kind. Returns the numbers if they were acknowledged.
  std::vector<std::size_t> store(Ledger& ledger);
  void arm_fault();
  bool crashed() const { return crash_armed && disk.fault_fired(); }
  void heal();

  std::mt19937_64 random;
  Metrics& metrics;
  ManualClock clock;
  testing::FaultyDisk disk;
  testing::DiskVfs vfs;
  std::vector<Ledger> ledgers;
  std::unique_ptr<recordlog::LocalLog> log;
  std::unique_ptr<dispatch::Journal> journal;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<catalog::Replays> replays;
  std::unique_ptr<catalog::DeadLetters> letters;
  catalog::UnderWay under_way;                              // as this process found it
  std::map<StreamId, dispatch::ParkedState> parked_states;  // as this process found them
  filters::Evaluator evaluator;
  std::uint32_t life = 0;
  bool crash_armed = false;
  std::uint64_t record_bytes_max = 0;
  std::uint32_t partitions = 1;
  std::uint64_t journal_compact_bytes = 0;
  std::optional<std::chrono::seconds> retention;  // none: longer than any run
  std::map<StreamId, std::set<Offset>> redriven;  // dead letters that are none any more

 private:
  bool open();
  void close();
  bool open_catalog();
  bool open_letters();
  bool open_log();
  bool make_file(const std::string& path);

  const catalog::SecretBox secrets_{KeyBytes{}};
};

}  // namespace sluice::simulator
