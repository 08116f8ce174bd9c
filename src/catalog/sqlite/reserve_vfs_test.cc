#include "catalog/reserve_vfs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "catalog/sqlite/database.h"

namespace sluice::catalog {
namespace {

// That it makes room shows tests/e2e/test_full_disk.py, on a real disk that is full.
class ReserveVfsTest : public testing::Test {
 protected:
  ReserveVfsTest() : directory(testing::TempDir() + "reserve-vfs-" + std::to_string(::getpid())) {
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    EXPECT_TRUE(Database::make_file(path));
  }
  ~ReserveVfsTest() override { std::filesystem::remove_all(directory); }
  const std::string directory;
  const std::string path = directory + "/some.db";
};

TEST_F(ReserveVfsTest, FilesWorkThroughIt) {
  Metrics metrics;
  DiskReserve reserve(posix_file_system(), {.path = directory + "/reserve", .bytes = kMiB},
                      metrics);
  const ReserveVfs vfs(reserve);
  Result<Database> one = Database::open(path, Database::Room::OfReserve);
  ASSERT_TRUE(one && one->execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
                                  "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)"));
  Result<Database> other = Database::open(path);  // the platform's, at the same time
  ASSERT_TRUE(other && other->execute("INSERT INTO t VALUES (3)"));
  EXPECT_EQ(*one->integer("SELECT sum(a) FROM t"), 6);
  EXPECT_TRUE(one->execute("PRAGMA wal_checkpoint(TRUNCATE); VACUUM"));
  EXPECT_EQ(*other->integer("SELECT count(*) FROM t"), 3);
  EXPECT_TRUE(reserve.is_there());
}

}  // namespace
}  // namespace sluice::catalog
