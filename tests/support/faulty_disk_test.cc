#include "support/faulty_disk.h"

#include <gtest/gtest.h>
#include <sys/uio.h>

#include <string>

namespace sluice::testing {
namespace {

void write(File& file, std::uint64_t position, std::string bytes, bool expected = true) {
  const iovec buffer{bytes.data(), bytes.size()};
  EXPECT_EQ(file.write_at(position, {&buffer, 1}).has_value(), expected);
}

std::string read(FaultyDisk& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::Read);
  if (!file) return "(" + file.error().message + ")";
  std::string bytes((*file)->size().value(), '?');
  EXPECT_EQ((*file)->read_at(0, bytes).value(), bytes.size());
  return bytes;
}

TEST(FaultyDisk, SyncedBytesSurviveAPowerCutAndOthersNeedNot) {
  bool lost = false;
  bool kept = false;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    FaultyDisk disk({.seed = seed});
    auto file = std::move(disk.open("/a", OpenMode::CreateNew).value());
    write(*file, 0, "first");
    ASSERT_TRUE(file->sync_data());
    ASSERT_TRUE(disk.sync_directory("/"));
    write(*file, 5, std::string(1000, 'x'));
    disk.power_cut();
    const std::string found = read(disk, "/a");
    ASSERT_EQ(found.substr(0, 5), "first") << "seed " << seed;
    lost |= found.size() == 5;
    kept |= found.size() == 1005;
    write(*file, 0, "dead", false);
  }
  EXPECT_TRUE(lost);
  EXPECT_TRUE(kept);
}

TEST(FaultyDisk, ANameIsLostUnlessItsDirectoryIsSynced) {
  bool lost = false;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    FaultyDisk disk({.seed = seed});
    ASSERT_TRUE(disk.create_directories("/d"));
    ASSERT_TRUE(disk.sync_directory("/"));
    ASSERT_TRUE(disk.open("/d/kept", OpenMode::CreateNew));
    ASSERT_TRUE(disk.sync_directory("/d"));
    ASSERT_TRUE(disk.rename("/d/kept", "/d/renamed"));
    disk.power_cut();
    const bool old_name = disk.exists("/d/kept").value();
    ASSERT_NE(old_name, disk.exists("/d/renamed").value());
    lost |= old_name;
  }
  EXPECT_TRUE(lost);
}

TEST(FaultyDisk, AFailedSyncIsForgottenByTheNext) {
  bool lost = false;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    FaultyDisk disk({.seed = seed});
    auto file = std::move(disk.open("/a", OpenMode::CreateNew).value());
    ASSERT_TRUE(disk.sync_directory("/"));
    write(*file, 0, std::string(2048, 'x'));
    disk.arm({.number = 1, .operations = mask(DiskOperation::Sync)});
    ASSERT_FALSE(file->sync_data());
    ASSERT_TRUE(disk.fault_fired());
    ASSERT_TRUE(file->sync_data());
    ASSERT_EQ(read(disk, "/a"), std::string(2048, 'x'));
    disk.power_cut();
    lost |= read(disk, "/a") != std::string(2048, 'x');
  }
  EXPECT_TRUE(lost);
}

TEST(FaultyDisk, TheNthOperationFailsOnce) {
  FaultyDisk disk;
  auto file = std::move(disk.open("/a", OpenMode::CreateNew).value());
  disk.arm({.number = 2, .code = ErrorCode::ResourceExhausted});
  write(*file, 0, "one");
  write(*file, 0, "two", false);
  EXPECT_TRUE(disk.fault_fired());
  write(*file, 3, "six");
  EXPECT_EQ(read(disk, "/a"), "onesix");
}

TEST(FaultyDisk, WhatIsCutOffReadsAsZerosAfterGrowing) {
  FaultyDisk disk;
  auto file = std::move(disk.open("/a", OpenMode::CreateNew).value());
  write(*file, 0, std::string(600, 'x'));
  ASSERT_TRUE(file->truncate(3));
  ASSERT_TRUE(file->preallocate(5));
  EXPECT_EQ(read(disk, "/a"), std::string("xxx\0\0", 5));
}

}  // namespace
}  // namespace sluice::testing
