#include "catalog/catalog.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "catalog/sqlite/migrations.h"

namespace sluice::catalog {
namespace {

class CatalogTest : public testing::Test {
 protected:
  CatalogTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "catalog-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~CatalogTest() override { std::filesystem::remove_all(directory_); }

  std::string path() const { return directory_ + "/catalog.db"; }

  std::unique_ptr<Catalog> open() {
    Result<std::unique_ptr<Catalog>> catalog = open_sqlite(path(), SecretBox({}));
    EXPECT_TRUE(catalog.has_value()) << catalog.error().message;
    return std::move(*catalog);
  }

  Error open_error() {
    const Result<std::unique_ptr<Catalog>> catalog = open_sqlite(path(), SecretBox({}));
    return catalog ? Error{ErrorCode::Cancelled, "opened"} : catalog.error();
  }

  void sql(const char* statements) {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &connection), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(connection, statements, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(connection);
  }

 private:
  std::string directory_;
};

constexpr OrganisationId kTest{399921};
constexpr OrganisationId kOther{7};

void add_organisations(Catalog& catalog) {
  const std::vector<Organisation> both = {{kTest, "Test"}, {kOther, "Other"}};
  ASSERT_TRUE(catalog.register_organisations(both));
}

Stream new_stream(OrganisationId organisation = kTest) {
  Stream stream;
  stream.organisation = organisation;
  stream.name = "usage to lake";
  stream.type = 3;
  stream.destination = R"({"connection_type":"RestAPI"})";
  stream.delivery = R"({"preset":"emnify"})";
  stream.relation_resolution = "true";
  stream.historic = true;
  stream.status = StreamStatus::Paused;
  stream.status_before_pause = StreamStatus::Error;
  stream.last_error = "refused";
  stream.remote_status = 502;
  stream.start = Offset{1ull << 40};
  stream.revision = 9;
  return stream;
}

void expect_equal(const Stream& a, const Stream& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.organisation, b.organisation);
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.type, b.type);
  EXPECT_EQ(a.destination, b.destination);
  EXPECT_EQ(a.delivery, b.delivery);
  EXPECT_EQ(a.relation_resolution, b.relation_resolution);
  EXPECT_EQ(a.historic, b.historic);
  EXPECT_EQ(a.status, b.status);
  EXPECT_EQ(a.status_before_pause, b.status_before_pause);
  EXPECT_EQ(a.last_error, b.last_error);
  EXPECT_EQ(a.remote_status, b.remote_status);
  EXPECT_EQ(a.start, b.start);
  EXPECT_EQ(a.revision, b.revision);
  EXPECT_EQ(a.created, b.created);
  EXPECT_EQ(a.updated, b.updated);
}

TEST_F(CatalogTest, AStreamComesBackWholeAfterReopening) {
  Stream made;
  {
    const auto catalog = open();
    add_organisations(*catalog);
    const Result<Stream> created = catalog->create_stream(new_stream(), WallTime{1234});
    ASSERT_TRUE(created) << created.error().message;
    made = *created;
    EXPECT_EQ(made.created, WallTime{1234});
    EXPECT_EQ(made.updated, WallTime{1234});
    Stream expected = new_stream();
    expected.id = made.id;
    expected.created = expected.updated = WallTime{1234};
    expect_equal(made, expected);
  }
  const auto catalog = open();
  const Result<std::optional<Stream>> found = catalog->stream(kTest, made.id);
  ASSERT_TRUE(found && *found);
  expect_equal(**found, made);
  ASSERT_EQ(catalog->all_streams()->size(), 1u);
}

TEST_F(CatalogTest, OrganisationsKeepTheirFirstNameAndTakeALaterOneOnlyWhenUnknown) {
  const auto catalog = open();
  const std::vector<Organisation> first = {{kTest, ""}, {kOther, "Other"}};
  const std::vector<Organisation> second = {{kTest, "Test"}, {kOther, "Changed"}};
  const std::vector<Organisation> third = {{kTest, "Again"}, {kOther, ""}};
  for (const auto& names : {first, second, third}) {
    ASSERT_TRUE(catalog->register_organisations(names));
  }
  const auto all = catalog->organisations();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].name, "Other");
  EXPECT_EQ((*all)[1].name, "Test");
  EXPECT_EQ((**catalog->organisation(kTest)).name, "Test");
  EXPECT_FALSE(catalog->organisation(OrganisationId{8})->has_value());
}

TEST_F(CatalogTest, IdsBeyond63BitsAreRefusedAndFindNothing) {
  const auto catalog = open();
  const std::vector<Organisation> largest = {{OrganisationId{kIdMax}, "Largest"}};
  ASSERT_TRUE(catalog->register_organisations(largest));
  EXPECT_EQ((**catalog->organisation(OrganisationId{kIdMax})).name, "Largest");

  const OrganisationId beyond{kIdMax + 1};
  const std::vector<Organisation> too_large = {{kOther, "Other"}, {beyond, "Beyond"}};
  const Result<void> refused = catalog->register_organisations(too_large);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::InvalidArgument);
  EXPECT_FALSE(catalog->organisation(kOther)->has_value());  // all or none
  EXPECT_FALSE(catalog->organisation(beyond)->has_value());
  EXPECT_FALSE(catalog->stream(kTest, StreamId{~0ull})->has_value());
}

TEST_F(CatalogTest, AStreamNeedsAnOrganisation) {
  const auto catalog = open();
  const Result<Stream> created = catalog->create_stream(new_stream(), WallTime{1});
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, ErrorCode::NotFound);
}

TEST_F(CatalogTest, AnotherOrganisationsStreamDoesNotExist) {
  const auto catalog = open();
  add_organisations(*catalog);
  const Stream made = *catalog->create_stream(new_stream(), WallTime{1});
  EXPECT_FALSE(catalog->stream(kOther, made.id)->has_value());
  EXPECT_TRUE(catalog->streams(kOther)->empty());
  EXPECT_EQ(catalog->delete_stream(kOther, made.id).error().code, ErrorCode::NotFound);
  EXPECT_EQ(catalog->change_stream(kOther, made.id, {.name = "x"}, WallTime{2}).error().code,
            ErrorCode::NotFound);
  Stream foreign = made;
  foreign.organisation = kOther;
  EXPECT_EQ(catalog->update_stream(foreign, WallTime{2}).error().code, ErrorCode::NotFound);
  expect_equal(**catalog->stream(kTest, made.id), made);
  expect_equal(**catalog->stream(made.id), made);  // asked for by its id alone
  EXPECT_FALSE(catalog->stream(StreamId{made.id.value() + 1})->has_value());
}

TEST_F(CatalogTest, AChangeMadeFromAnOldStateIsRefused) {
  const auto catalog = open();
  add_organisations(*catalog);
  const Stream made = *catalog->create_stream(new_stream(), WallTime{1});
  StreamChange change{.name = "first", .expected_revision = made.settings_revision};
  const Stream changed = *catalog->change_stream(kTest, made.id, change, WallTime{2});
  change.name = "second";
  EXPECT_EQ(catalog->change_stream(kTest, made.id, change, WallTime{3}).error().code,
            ErrorCode::Conflict);
  expect_equal(**catalog->stream(kTest, made.id), changed);
  change.expected_revision = changed.settings_revision;
  EXPECT_EQ(catalog->change_stream(kTest, made.id, change, WallTime{3})->name, "second");
  ASSERT_TRUE(catalog->delete_stream(kTest, made.id));
  EXPECT_EQ(catalog->change_stream(kTest, made.id, change, WallTime{4}).error().code,
            ErrorCode::NotFound);
}

TEST_F(CatalogTest, ListsNewestFirstAndNeverReusesAnId) {
  const auto catalog = open();
  add_organisations(*catalog);
  const StreamId first = catalog->create_stream(new_stream(), WallTime{1})->id;
  const StreamId second = catalog->create_stream(new_stream(), WallTime{1})->id;
  ASSERT_EQ(catalog->streams(kTest)->size(), 2u);
  EXPECT_EQ((*catalog->streams(kTest))[0].id, second);
  EXPECT_EQ((*catalog->streams(kTest))[1].id, first);
  ASSERT_TRUE(catalog->delete_stream(kTest, second));
  EXPECT_EQ(catalog->delete_stream(kTest, second).error().code, ErrorCode::NotFound);
  EXPECT_GT(catalog->create_stream(new_stream(), WallTime{1})->id, second);
}

// Dispatch writes a status from a copy that it took before the name was changed.
TEST_F(CatalogTest, SettingsAndStateDoNotOverwriteEachOther) {
  const auto catalog = open();
  add_organisations(*catalog);
  Stream copy = *catalog->create_stream(new_stream(), WallTime{1});
  const Stream renamed = *catalog->change_stream(kTest, copy.id, {.name = "renamed"}, WallTime{2});
  EXPECT_EQ(renamed.name, "renamed");
  EXPECT_EQ(renamed.relation_resolution, "true");
  EXPECT_EQ(renamed.updated, WallTime{2});

  copy.status = StreamStatus::Running;
  copy.status_before_pause = StreamStatus::Running;
  copy.last_error = "";
  copy.remote_status = std::nullopt;
  copy.revision = 10;
  ASSERT_TRUE(catalog->update_stream(copy, WallTime{3}));
  copy.name = "renamed";
  copy.updated = WallTime{3};
  expect_equal(**catalog->stream(kTest, copy.id), copy);

  const Stream resolved =
      *catalog->change_stream(kTest, copy.id, {.relation_resolution = "{}"}, WallTime{4});
  EXPECT_EQ(resolved.name, "renamed");
  EXPECT_EQ(resolved.relation_resolution, "{}");
  EXPECT_EQ(resolved.status, StreamStatus::Running);
}

TEST_F(CatalogTest, RevisionsTellWhichSettingsAStateIsAbout) {
  const auto catalog = open();
  add_organisations(*catalog);
  Stream made = *catalog->create_stream(new_stream(), WallTime{1});
  const auto changed = [&](const StreamChange& change) {
    return *catalog->change_stream(kTest, made.id, change, WallTime{2});
  };
  Stream row = changed({.name = "n", .destination = made.destination});
  EXPECT_EQ(row.settings_revision, 1u);
  EXPECT_EQ(row.destination_revision, 0u) << "it is the same one";
  row = changed({.destination = R"({"connection_type":"S3"})", .new_rendering = true});
  EXPECT_EQ(row.settings_revision, 2u);
  EXPECT_EQ(row.destination_revision, 2u);
  EXPECT_EQ(row.render_revision, 1u);
  row = changed({.filters = R"([{"field":"alert","value":true}])"});
  EXPECT_EQ(row.settings_revision, 3u);
  EXPECT_EQ(row.destination_revision, 2u);
  EXPECT_EQ(row.filter_revision, 1u);
  EXPECT_EQ(row.applied_revision, 0u);

  made.status = StreamStatus::Disabled;
  made.start = Offset{77};
  made.applied_revision = 3;
  made.failing_s = 120;
  made.settings_revision = made.destination_revision = 99;  // not dispatch's to change
  ASSERT_TRUE(catalog->update_stream(made, WallTime{3}));
  row = **catalog->stream(made.organisation, made.id);
  EXPECT_EQ(row.status, StreamStatus::Disabled);
  EXPECT_EQ(row.start, Offset{77});
  EXPECT_EQ(row.applied_revision, 3u);
  EXPECT_EQ(row.failing_s, 120u);
  EXPECT_EQ(row.settings_revision, 3u);
  EXPECT_EQ(row.destination_revision, 2u);
}

// As it was before streams could be Disabled.
TEST_F(CatalogTest, StreamsOfAnOlderSchemaComeOverAndTheirIdsStayTaken) {
  std::string statements = "BEGIN;";
  for (std::size_t i = 0; i < 3; ++i) statements += migrations()[i];
  statements +=
      "PRAGMA application_id = 1397506865; PRAGMA user_version = 3; COMMIT;"
      "INSERT INTO organisations (id, name) VALUES (399921, 'Test');"
      "INSERT INTO streams VALUES (4, 399921, 'n', 2, '{}', '{}', '', 0, 2, 3, 'e', 500, 9, 2, 1, "
      "2, '[1]', '[2]', 3, 4, 5);"
      "INSERT INTO streams SELECT 8, organisation_id, name, type, destination, delivery, "
      "relation_resolution, historic, status, status_before_pause, last_error, remote_status, "
      "start_offset, revision, created_ms, updated_ms, filters, labels, filter_revision, "
      "render_revision, settings_revision FROM streams; DELETE FROM streams WHERE id = 8";
  sql(statements.c_str());
  const auto catalog = open();
  const Stream row = **catalog->stream(kTest, StreamId{4});
  EXPECT_EQ(row.status, StreamStatus::Paused);
  EXPECT_EQ(row.status_before_pause, StreamStatus::Error);
  EXPECT_EQ(row.remote_status, 500);
  EXPECT_EQ(row.labels, "[2]");
  EXPECT_EQ(row.settings_revision, 5u);
  EXPECT_EQ(row.applied_revision, 0u);
  EXPECT_EQ(catalog->create_stream(new_stream(), WallTime{1})->id, StreamId{9});
}

TEST_F(CatalogTest, TextIsKeptByteForByte) {
  const auto catalog = open();
  add_organisations(*catalog);
  Stream stream = new_stream();
  stream.name = std::string("a\0b'\"; DROP TABLE streams; \xc3\xa4", 30);
  const Stream made = *catalog->create_stream(stream, WallTime{1});
  EXPECT_EQ((**catalog->stream(kTest, made.id)).name, stream.name);
}

// Else SQLite would write nothing, and leave a change that failed before in its log.
TEST_F(CatalogTest, AnUpdateThatSaysTheSameChangesTheRow) {
  const auto catalog = open();
  add_organisations(*catalog);
  const Stream stream = *catalog->create_stream(new_stream(), WallTime{1});
  for (int i = 0; i < 3; ++i) {
    const WallTime before = (*catalog->stream(kTest, stream.id))->updated;
    ASSERT_TRUE(catalog->update_stream(stream, before));
    EXPECT_NE((*catalog->stream(kTest, stream.id))->updated, before);
  }
}

// Two connections, as two processes would have: the limit is looked at inside the transaction.
TEST_F(CatalogTest, TheLimitHoldsWhenManyCreateAtOnce) {
  const auto one = open();
  const auto two = open();
  add_organisations(*one);
  std::atomic<std::size_t> created = 0;
  std::atomic<std::size_t> refused = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, &catalog = i % 2 == 0 ? *one : *two] {
      for (int n = 0; n < 5; ++n) {
        const Result<Stream> stream = catalog.create_stream(new_stream(), WallTime{1});
        if (stream) {
          ++created;
        } else if (stream.error().code == ErrorCode::ResourceExhausted) {
          ++refused;
        }
      }
    });
  }
  threads.clear();
  EXPECT_EQ(created, Catalog::kStreamsPerOrganisationMax);
  EXPECT_EQ(refused, 20 - Catalog::kStreamsPerOrganisationMax);
  EXPECT_EQ(one->streams(kTest)->size(), Catalog::kStreamsPerOrganisationMax);
  EXPECT_TRUE(two->create_stream(new_stream(kOther), WallTime{1}));  // each has its own ten
}

TEST_F(CatalogTest, ManyMayOpenANewFileAtOnce) {
  std::atomic<int> opened = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const auto catalog = open_sqlite(path(), SecretBox({}));
      EXPECT_TRUE(catalog) << catalog.error().message;
      if (catalog && (*catalog)->organisations()) ++opened;
    });
  }
  threads.clear();
  EXPECT_EQ(opened, 8);
}

TEST_F(CatalogTest, OnlyTheOwnerMayReadTheFiles) {
  const auto catalog = open();
  add_organisations(*catalog);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat status {};
    ASSERT_EQ(::stat((path() + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(CatalogTest, MigratesAnEmptyFileFromVersionZero) {
  std::ofstream(path()).close();
  add_organisations(*open());
  EXPECT_EQ(open()->organisations()->size(), 2u);
}

TEST_F(CatalogTest, RefusesANewerSchema) {
  open();
  sql("PRAGMA user_version = 4242");
  const Error error = open_error();
  EXPECT_EQ(error.code, ErrorCode::Corruption);
  EXPECT_NE(error.message.find("newer Sluice"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find(path()), std::string::npos) << error.message;
}

TEST_F(CatalogTest, RefusesSomebodyElsesDatabase) {
  sql("CREATE TABLE theirs (x)");
  EXPECT_EQ(open_error().code, ErrorCode::Corruption);
  sql("SELECT x FROM theirs");  // and has left it alone
}

TEST_F(CatalogTest, RefusesAFileThatIsNoDatabase) {
  std::ofstream(path()) << std::string(5000, 'x');
  EXPECT_EQ(open_error().code, ErrorCode::Corruption);
}

TEST_F(CatalogTest, NoticesADamagedPage) {
  {
    const auto catalog = open();
    add_organisations(*catalog);
    for (int i = 0; i < 10; ++i) {
      Stream stream = new_stream();
      stream.destination = std::string(9000, 'd');
      ASSERT_TRUE(catalog->create_stream(stream, WallTime{1}));
    }
  }
  {
    // All pages but the first, which holds the header and the schema.
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto size = std::filesystem::file_size(path());
    ASSERT_GT(size, 8192u);
    file.seekp(4096);
    file << std::string(size - 4096, '\xff');
  }
  EXPECT_EQ(open_error().code, ErrorCode::Corruption);
}

TEST_F(CatalogTest, AMissingDirectoryIsAnErrorThatNamesThePath) {
  const auto catalog = open_sqlite(path() + "/missing/catalog.db", SecretBox({}));
  ASSERT_FALSE(catalog);
  EXPECT_EQ(catalog.error().code, ErrorCode::Io);
  EXPECT_NE(catalog.error().message.find("missing/catalog.db"), std::string::npos);
}

}  // namespace
}  // namespace sluice::catalog
