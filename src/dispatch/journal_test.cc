#include "dispatch/journal.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <random>

#include "support/faulty_disk.h"

namespace sluice::dispatch {
namespace {

namespace stdfs = std::filesystem;

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() {
    std::string pattern = (stdfs::temp_directory_path() / "sluice-journal-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    directory_ = root_ + "/journal";
  }
  ~JournalTest() override { stdfs::remove_all(root_); }

  std::unique_ptr<Journal> open(Journal::Options options = {}) {
    auto journal = Journal::open(directory_, posix_file_system(), metrics_, options);
    EXPECT_TRUE(journal.has_value()) << journal.error().message;
    return std::move(*journal);
  }

  std::vector<std::string> files() const {
    std::vector<std::string> paths;
    for (const auto& entry : stdfs::directory_iterator(directory_)) {
      if (entry.is_regular_file()) paths.push_back(entry.path().string());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  std::string root_;
  std::string directory_;
  Metrics metrics_;
};

JournalEntry cursor(std::uint64_t stream, std::uint64_t at) {
  JournalEntry entry;
  entry.stream = StreamId{stream};
  entry.cursor = Offset{at};
  return entry;
}

JournalEntry boundary(std::uint64_t stream, std::uint64_t first, std::uint64_t last) {
  JournalEntry entry = cursor(stream, first);
  entry.kind = JournalEntry::Kind::Boundary;
  entry.last = Offset{last};
  entry.records = static_cast<std::uint32_t>(last - first + 1);
  return entry;
}

JournalEntry removed(std::uint64_t stream) {
  JournalEntry entry = cursor(stream, 0);
  entry.kind = JournalEntry::Kind::Removed;
  return entry;
}

void append_and_wait(Journal& journal, const JournalEntry& entry) {
  std::promise<Result<void>> done;
  journal.append(entry, [&](Result<void> result) { done.set_value(std::move(result)); });
  const Result<void> result = done.get_future().get();
  ASSERT_TRUE(result.has_value()) << result.error().message;
}

void overwrite(const std::string& path, std::streamoff position, std::string_view bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(position);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(JournalEntryBytes, EveryMemberComesBack) {
  JournalEntry entry = boundary(~0ull, 2, ~0ull - 1);
  entry.records = 3;
  entry.revision = 4;
  entry.previous = Offset{0};
  entry.delivered = 5;
  entry.aged_out = 6;
  entry.damaged = 7;
  entry.skipped = 9;
  entry.dropped = 10;
  entry.filter_revision = 8;
  entry.render_revision = 9;
  entry.parked = 4;
  entry.rejected_in_a_row = 5;
  entry.misconfigured_in_a_row = 6;
  entry.cut_records = 7;
  entry.cut_delivered = 8;
  entry.usage_stored_s = 11;
  entry.event_stored_s = 12;
  EXPECT_EQ(decode(encode(entry, 1), 1), entry);
  entry.previous.reset();
  EXPECT_EQ(decode(encode(entry, 1), 1), entry);
}

TEST(JournalEntryBytes, AnyFlippedBitAndAnotherFilesSequenceAreRefused) {
  const JournalSlot good = encode(boundary(1, 2, 3), 7);
  EXPECT_EQ(decode(good, 8), std::nullopt);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    JournalSlot bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_EQ(decode(bad, 7), std::nullopt) << "bit " << bit;
  }
  EXPECT_EQ(decode(JournalSlot{}, 0), std::nullopt);
}

// The bytes of the worked example in docs/formats/stream-journal.md.
TEST(JournalEntryBytes, AreThoseOfTheFormatsExample) {
  JournalEntry entry = boundary(12, 3000, 3399);
  entry.previous = Offset{2999};
  entry.delivered = 3000;
  entry.render_revision = 1 << 24;
  std::string hex;
  for (const char byte : encode(entry, 1)) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<unsigned char>(byte) >> 4];
    hex += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  EXPECT_EQ(hex,
            "0c00000000000000"
            "b80b000000000000"
            "470d000000000000"
            "b70b000000000000"
            "b80b000000000000"
            "0000000000000000"
            "0000000000000000"
            "0000000000000000"
            "01000000"
            "90010000"
            "00000000"
            "00000001"
            "01"
            "01"
            "0000000000000000000000000000000000000000000000000000000000000000000000000000"
            "54cebd5270e0bb18");
}

TEST_F(JournalTest, NewestEntryOfAStreamIsItsState) {
  {
    const auto journal = open();
    EXPECT_EQ(journal->recovered(StreamId{1}), std::nullopt);
    append_and_wait(*journal, cursor(1, 10));
    append_and_wait(*journal, boundary(1, 10, 19));
    append_and_wait(*journal, boundary(2, 5, 6));
    append_and_wait(*journal, cursor(2, 7));
    append_and_wait(*journal, cursor(3, 1));
    append_and_wait(*journal, removed(3));
  }
  const auto journal = open();
  EXPECT_EQ(journal->recovered(StreamId{1}), boundary(1, 10, 19));
  EXPECT_EQ(journal->recovered(StreamId{2}), cursor(2, 7));
  EXPECT_EQ(journal->recovered(StreamId{3}), std::nullopt);
}

TEST_F(JournalTest, StopWritesWhatWaitsAndRefusesTheRest) {
  const auto journal = open();
  for (std::uint64_t i = 1; i <= 1000; ++i) journal->append(cursor(i, i), {});
  journal->stop();
  bool refused = false;
  journal->append(cursor(1, 2000), [&](Result<void> result) {
    refused = !result && result.error().code == ErrorCode::Cancelled;
  });
  EXPECT_TRUE(refused);
  const auto again = open();
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    EXPECT_EQ(again->recovered(StreamId{i}), cursor(i, i));
  }
}

TEST_F(JournalTest, TornTailIsQuarantinedOnceAndTheRestIsRead) {
  {
    const auto journal = open();
    append_and_wait(*journal, cursor(1, 10));
    append_and_wait(*journal, cursor(1, 20));
  }
  const std::string path = files().at(0);
  stdfs::resize_file(path, stdfs::file_size(path) - 30);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(open()->recovered(StreamId{1}), cursor(1, 10));
    std::size_t copies = 0;
    for (const auto& copy : stdfs::directory_iterator(directory_ + "/quarantine")) {
      EXPECT_EQ(copy.file_size(), kJournalSlotBytes - 30);
      ++copies;
    }
    EXPECT_EQ(copies, 1u);
  }
}

TEST_F(JournalTest, DamagedEntryCostsItselfAlone) {
  {
    const auto journal = open();
    append_and_wait(*journal, cursor(1, 10));
    append_and_wait(*journal, cursor(1, 20));
    append_and_wait(*journal, cursor(2, 5));
  }
  const std::string path = files().at(0);
  overwrite(path, 0, "damaged header");
  overwrite(path, 2 * kJournalSlotBytes + 11, "!");
  const auto journal = open();
  EXPECT_EQ(journal->recovered(StreamId{1}), cursor(1, 10));
  EXPECT_EQ(journal->recovered(StreamId{2}), cursor(2, 5));
}

TEST_F(JournalTest, RubbishInTheDirectoryDoesNotStopTheStart) {
  stdfs::create_directories(directory_ + "/stream-00000000000000000005.log");  // not a file
  std::ofstream(directory_ + "/stream-7.log") << std::string(1000, '\0');
  std::ofstream(directory_ + "/stream-.log") << "x";
  std::ofstream(directory_ + "/notes.txt") << "x";
  {
    const auto journal = open();
    append_and_wait(*journal, cursor(1, 10));
  }
  EXPECT_EQ(open()->recovered(StreamId{1}), cursor(1, 10));
}

TEST_F(JournalTest, FileOfANewerVersionStopsTheStart) {
  stdfs::create_directories(directory_);
  {
    const auto journal = open();
    append_and_wait(*journal, cursor(1, 10));
  }
  // An entry whose first bytes read as a newer version's magic: sealed as any slot is.
  std::uint64_t magic = 0;
  std::memcpy(&magic, "SLUJRNL3", sizeof magic);
  const JournalSlot newer = encode(cursor(magic, 1), 1);
  overwrite(files().at(0), 0, {newer.data(), newer.size()});
  const auto journal = Journal::open(directory_, posix_file_system(), metrics_);
  ASSERT_FALSE(journal.has_value());
  EXPECT_EQ(journal.error().code, ErrorCode::Corruption);
}

// The first 88 bytes of a file as the format's first version wrote it.
TEST_F(JournalTest, FileOfTheFirstVersionStopsTheStartAndSaysWhatToDo) {
  stdfs::create_directories(directory_);
  constexpr std::uint64_t kSequence = 1;
  std::string file(88 * 2, '\0');
  std::memcpy(file.data(), "SLUJRNL1", 8);
  std::memcpy(file.data() + 8, &kSequence, sizeof kSequence);
  const std::uint64_t sum = XXH3_64bits_withSeed(file.data(), 80, kSequence);
  std::memcpy(file.data() + 80, &sum, sizeof sum);
  const std::string path = directory_ + "/stream-00000000000000000001.log";
  std::ofstream(path, std::ios::binary) << file;
  const auto journal = Journal::open(directory_, posix_file_system(), metrics_);
  ASSERT_FALSE(journal.has_value());
  EXPECT_EQ(journal.error().code, ErrorCode::Corruption);
  EXPECT_NE(journal.error().message.find(path), std::string::npos);
  EXPECT_NE(journal.error().message.find("begin with a new data directory"), std::string::npos);
}

TEST_F(JournalTest, CompactionKeepsTheNewestStateInOneSmallFile) {
  {
    const auto journal = open({.compact_bytes = 4096});
    append_and_wait(*journal, boundary(1, 5, 9));
    append_and_wait(*journal, cursor(3, 1));
    append_and_wait(*journal, removed(3));
    for (std::uint64_t i = 1; i <= 300; ++i) append_and_wait(*journal, cursor(2, i));
  }
  const auto paths = files();
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_NE(paths[0].find("stream-0000"), std::string::npos);
  EXPECT_LT(stdfs::file_size(paths[0]), 8192u);
  const auto journal = open();
  EXPECT_EQ(journal->recovered(StreamId{1}), boundary(1, 5, 9));
  EXPECT_EQ(journal->recovered(StreamId{2}), cursor(2, 300));
  EXPECT_EQ(journal->recovered(StreamId{3}), std::nullopt);
}

TEST_F(JournalTest, EachStartGoesOnInANewFileAndDropsTheOld) {
  for (std::uint64_t round = 1; round <= 3; ++round) {
    const auto journal = open();
    append_and_wait(*journal, cursor(round, round));
    EXPECT_EQ(files().size(), 1u);
  }
  const auto journal = open();
  for (std::uint64_t round = 1; round <= 3; ++round) {
    EXPECT_EQ(journal->recovered(StreamId{round}), cursor(round, round));
  }
}

// Promise: what a Done confirmed is there after any fault and a power cut, and nothing older
// stands in its place. Cursors only grow, so an entry's age can be read off its cursor.
struct Ledger {
  std::uint64_t confirmed = 0;
  std::uint64_t attempted = 0;
};

void append_with_faults(Journal& journal, int count, std::mt19937_64& random,
                        std::map<std::uint64_t, Ledger>& ledgers) {
  for (int i = 0; i < count; ++i) {
    const std::uint64_t stream = 1 + random() % 4;
    Ledger& ledger = ledgers[stream];
    const std::uint64_t at = ++ledger.attempted;
    std::promise<bool> done;
    journal.append(random() % 2 == 0 ? cursor(stream, at) : boundary(stream, at, at + 9),
                   [&](Result<void> result) { done.set_value(result.has_value()); });
    if (done.get_future().get()) ledger.confirmed = at;
  }
}

void expect_nothing_lost(FileSystem& disk, Metrics& metrics,
                         std::map<std::uint64_t, Ledger>& ledgers) {
  const auto journal = Journal::open("/data/journal", disk, metrics);
  ASSERT_TRUE(journal.has_value()) << journal.error().message;
  for (auto& [stream, ledger] : ledgers) {
    const auto entry = (*journal)->recovered(StreamId{stream});
    const std::uint64_t found = entry ? entry->cursor.value() : 0;
    ASSERT_GE(found, ledger.confirmed) << "stream " << stream;
    ASSERT_LE(found, ledger.attempted) << "stream " << stream;
  }
}

// Three lives, each ended by a power cut; the fault falls into one of them. False: it did not
// fire, the life was too short.
bool survive(std::uint64_t seed, int appends, int life_at_fault, testing::DiskFault fault) {
  Metrics metrics;
  testing::FaultyDisk disk({.seed = seed});
  EXPECT_TRUE(disk.create_directories("/data").has_value());
  EXPECT_TRUE(disk.sync_directory("/").has_value());
  std::mt19937_64 random(seed);
  std::map<std::uint64_t, Ledger> ledgers;
  bool fired = false;
  for (int life = 0; life < 3; ++life) {
    if (life == life_at_fault) disk.arm(fault);
    {
      auto journal =
          Journal::open("/data/journal", disk, metrics, Journal::Options{.compact_bytes = 1024});
      if (journal) append_with_faults(**journal, appends, random, ledgers);
      fired = fired || disk.fault_fired();
      disk.power_off();
    }
    disk.power_on();
    expect_nothing_lost(disk, metrics, ledgers);
  }
  return fired;
}

TEST(JournalFaults, ConfirmedEntriesSurviveAFaultAtAnyOperation) {
  for (const int appends : {3, 11, 30}) {
    for (int life = 0; life < 3; ++life) {
      for (std::uint64_t n = 1;; ++n) {
        const std::uint64_t seed = n * 1000 + static_cast<std::uint64_t>(appends);
        SCOPED_TRACE(fmt::format("{} appends, fault at operation {} of life {}, seed {}", appends,
                                 n, life, seed));
        const testing::DiskFault fault{.number = n, .times = 1 + n % 3, .torn = n % 2 == 0};
        const bool fired = survive(seed, appends, life, fault);
        if (HasFatalFailure()) return;
        if (!fired) break;
      }
    }
  }
}

TEST(JournalFaults, GoesOnByItselfWhenTheDiskHasRoomAgain) {
  Metrics metrics;
  testing::FaultyDisk disk;
  ASSERT_TRUE(disk.create_directories("/data").has_value());
  ASSERT_TRUE(disk.sync_directory("/").has_value());
  auto journal = Journal::open("/data/journal", disk, metrics);
  ASSERT_TRUE(journal.has_value());
  append_and_wait(**journal, cursor(1, 1));
  disk.arm({.number = 1,
            .operations = testing::DiskOperation::Create | testing::DiskOperation::Write,
            .times = testing::kForever,
            .code = ErrorCode::ResourceExhausted});
  for (int i = 0; i < 3; ++i) {
    std::promise<Result<void>> done;
    (*journal)->append(cursor(1, 2), [&](Result<void> result) { done.set_value(result); });
    const Result<void> result = done.get_future().get();
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::ResourceExhausted);
  }
  disk.heal();
  append_and_wait(**journal, cursor(1, 3));
  disk.power_cut();
  journal->reset();
  EXPECT_EQ((*Journal::open("/data/journal", disk, metrics))->recovered(StreamId{1}), cursor(1, 3));
}

}  // namespace
}  // namespace sluice::dispatch
