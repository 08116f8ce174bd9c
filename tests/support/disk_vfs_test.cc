// Goal: what SQLite reports as committed survives, and nothing half done does. Method: a fault or a
// crash at the n-th operation of the disk; n grows until a run ends without it.

#include "support/disk_vfs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <memory>
#include <string>

#include "support/faulty_disk.h"

namespace sluice::testing {
namespace {

constexpr const char* kPath = "/d/x.db";

struct Close {
  void operator()(sqlite3* connection) const { sqlite3_close(connection); }
};
using Connection = std::unique_ptr<sqlite3, Close>;

bool run(const Connection& connection, const std::string& sql) {
  return sqlite3_exec(connection.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
}

Connection open(const std::string& journal_mode) {
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(kPath, &opened, SQLITE_OPEN_READWRITE, nullptr);
  Connection connection(opened);
  if (code != SQLITE_OK || !run(connection, "PRAGMA journal_mode = " + journal_mode) ||
      !run(connection, "PRAGMA synchronous = FULL")) {
    return nullptr;
  }
  return connection;
}

// -1: it cannot be read, or is not sound.
int integer(const Connection& connection, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(connection.get(), sql, -1, &statement, nullptr) != SQLITE_OK) return -1;
  const int value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int(statement, 0) : -1;
  sqlite3_finalize(statement);
  return value;
}

// Two rows a transaction, large enough for a few pages.
int commit_some(const Connection& connection) {
  if (!connection || !run(connection, "CREATE TABLE IF NOT EXISTS t (n INTEGER, pad TEXT)")) {
    return 0;
  }
  int committed = 0;
  for (int i = 0; i < 4; ++i) {
    const std::string row = "INSERT INTO t VALUES (1, hex(zeroblob(3000)))";
    if (!run(connection, fmt::format("BEGIN; {}; {}; COMMIT", row, row))) break;
    committed += 2;
  }
  return committed;
}

class DiskVfsTest : public ::testing::TestWithParam<const char*> {
 protected:
  // False: the fault did not fire.
  bool holds(std::uint64_t number, bool power_cut) {
    FaultyDisk disk({.seed = number});
    const DiskVfs vfs(disk);
    EXPECT_TRUE(disk.create_directories("/d").has_value());
    EXPECT_TRUE(disk.sync_directory("/").has_value());
    EXPECT_TRUE(disk.open(kPath, OpenMode::CreateNew).has_value());
    EXPECT_TRUE(disk.sync_directory("/d").has_value());
    disk.arm({.number = number, .times = kForever, .torn = true});
    Connection connection = open(GetParam());
    const int committed = commit_some(connection);
    const bool fired = disk.fault_fired();
    disk.power_off();
    connection.reset();
    power_cut ? disk.power_on() : disk.revive();
    connection = open(GetParam());
    if (!connection) {
      ADD_FAILURE() << "it cannot be opened any more";
      return fired;
    }
    EXPECT_EQ(
        integer(connection, "SELECT count(*) FROM pragma_quick_check WHERE quick_check = 'ok'"), 1);
    if (committed == 0) return fired;
    const int found = integer(connection, "SELECT count(*) FROM t");
    EXPECT_GE(found, committed);
    EXPECT_LE(found, committed + 2) << "no more than the one that was not answered";
    EXPECT_EQ(found % 2, 0) << "half a transaction";
    return fired;
  }
};

TEST_P(DiskVfsTest, WhatIsCommittedSurvivesACrashAtAnyOperation) {
  for (const bool power_cut : {true, false}) {
    std::uint64_t number = 1;
    for (;; ++number) {
      SCOPED_TRACE(fmt::format("operation {}, power cut {}", number, power_cut));
      if (!holds(number, power_cut) || HasFailure()) break;
    }
    EXPECT_GT(number, 20u) << "the faults hit nothing";
  }
}

TEST_P(DiskVfsTest, TwoConnectionsKeepOutOfEachOthersWay) {
  FaultyDisk disk;
  const DiskVfs vfs(disk);
  ASSERT_TRUE(disk.create_directories("/d").has_value());
  ASSERT_TRUE(disk.open(kPath, OpenMode::CreateNew).has_value());
  const Connection one = open(GetParam());
  const Connection two = open(GetParam());
  EXPECT_EQ(commit_some(one), 8);
  EXPECT_EQ(commit_some(two), 8);
  ASSERT_TRUE(run(one, "BEGIN IMMEDIATE"));
  EXPECT_FALSE(run(two, "BEGIN IMMEDIATE"));
  ASSERT_TRUE(run(one, "ROLLBACK"));
  EXPECT_TRUE(run(two, "BEGIN IMMEDIATE"));
  EXPECT_TRUE(run(two, "COMMIT"));
  EXPECT_EQ(integer(one, "SELECT count(*) FROM t"), 16);
}

INSTANTIATE_TEST_SUITE_P(Journals, DiskVfsTest, ::testing::Values("TRUNCATE", "WAL"));

}  // namespace
}  // namespace sluice::testing
