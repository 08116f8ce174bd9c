// Goal: what the catalog calls stored survives, whatever a process before it died of. Method: a
// disk that forgets what it could not sync, as Linux does, a kill, and a power cut in the next
// life.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "catalog/catalog.h"
#include "support/disk_vfs.h"
#include "support/faulty_disk.h"

namespace sluice::catalog {
namespace {

using testing::DiskOperation;
using testing::FaultyDisk;

constexpr const char* kPath = "/d/catalog.db";
constexpr OrganisationId kTest{399921};

std::unique_ptr<Catalog> open() {
  Result<std::unique_ptr<Catalog>> catalog = open_sqlite(kPath, SecretBox({}));
  EXPECT_TRUE(catalog.has_value()) << catalog.error().message;
  return std::move(*catalog);
}

bool rename(Catalog& catalog, const std::string& name) {
  return catalog.change_stream(kTest, StreamId{1}, {.name = name}, {}).has_value();
}

TEST(CatalogDurability, AFailedSyncOfALifeBeforeLosesNothingOfThisOne) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    FaultyDisk disk({.seed = seed});
    const testing::DiskVfs vfs(disk);
    ASSERT_TRUE(disk.create_directories("/d") && disk.sync_directory("/"));
    ASSERT_TRUE(disk.open(kPath, OpenMode::CreateNew));
    auto catalog = open();
    ASSERT_TRUE(catalog->register_organisations(std::vector<Organisation>{{kTest, "Test"}}));
    Stream stream;
    stream.organisation = kTest;
    ASSERT_TRUE(catalog->create_stream(stream, {}));

    disk.arm({.number = 1, .operations = mask(DiskOperation::Sync)});
    EXPECT_FALSE(rename(*catalog, "perhaps"));
    disk.power_off();
    catalog.reset();
    disk.revive();
    catalog = open();
    EXPECT_TRUE(rename(*catalog, "stored"));
    disk.power_off();
    catalog.reset();
    disk.power_on();

    catalog = open();
    const auto found = catalog->stream(StreamId{1});
    ASSERT_TRUE(found && *found);
    EXPECT_EQ((*found)->name, "stored");
  }
}

}  // namespace
}  // namespace sluice::catalog
