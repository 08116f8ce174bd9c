#include "catalog/registry.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

namespace sluice::catalog {
namespace {

constexpr OrganisationId kOne{1};
constexpr OrganisationId kTwo{2};

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "registry-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    catalog = *open_sqlite(path(), SecretBox({}));
    registry = open();
    const std::vector<Organisation> both = {{kOne, "One"}, {kTwo, ""}};
    EXPECT_TRUE(catalog->register_organisations(both));
  }
  ~RegistryTest() override { std::filesystem::remove_all(directory_); }

  std::string path() const { return directory_ + "/catalog.db"; }
  std::unique_ptr<Registry> open() const { return *open_sqlite_registry(path()); }

  static ApplicationToken token(std::string key_id, OrganisationId organisation = kOne) {
    return {.id = {},
            .organisation = organisation,
            .name = "a \"name\"",
            .role = Role::Developer,
            .key_id = std::move(key_id),
            .secret = "sealed",
            .created = {}};
  }
  std::size_t count(std::optional<OrganisationId> organisation) {
    return registry->application_tokens(organisation, ApplicationTokenId{0}, 1000)->size();
  }

 private:
  std::string directory_;

 protected:
  std::unique_ptr<Catalog> catalog;
  std::unique_ptr<Registry> registry;
};

template <class T>
ErrorCode code(const Result<T>& result) {
  return result ? ErrorCode::Cancelled : result.error().code;
}

// A process that loses its locks (closing any descriptor of the file does that) loses the
// write-ahead log to the next process that closes the catalog, and with it all that it writes.
TEST_F(RegistryTest, AnotherProcessLeavesTheCatalogToItsUsers) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    bool opened = false;
    {
      const auto other = open_sqlite(path(), SecretBox({}));
      opened = other.has_value();
    }
    ::_exit(opened ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(std::filesystem::exists(path() + "-wal"));
  ASSERT_TRUE(registry->create_organisation({OrganisationId{7}, "Seven"}));
  EXPECT_TRUE((*open_sqlite(path(), SecretBox({})))->organisation(OrganisationId{7})->has_value());
}

TEST_F(RegistryTest, AnOrganisationIsMadeChangedAndSeenByTheCatalog) {
  ASSERT_TRUE(registry->create_organisation({OrganisationId{7}, "Seven", "c7", "seven"}));
  EXPECT_EQ(code(registry->create_organisation({OrganisationId{7}, "Again"})), ErrorCode::Conflict);
  const Result<Organisation> changed =
      registry->change_organisation(OrganisationId{7}, {.name = "", .project = "sept"});
  ASSERT_TRUE(changed) << changed.error().message;
  const Organisation seen = **catalog->organisation(OrganisationId{7});
  EXPECT_EQ(seen.name, "");
  EXPECT_EQ(seen.company_id, "c7");
  EXPECT_EQ(project_name(seen), "sept");
  EXPECT_EQ(changed->project, "sept");
  ASSERT_TRUE(registry->change_organisation(OrganisationId{7}, {.project = ""}));
  EXPECT_EQ(project_name(**catalog->organisation(OrganisationId{7})), "7");
  EXPECT_EQ(code(registry->change_organisation(OrganisationId{8}, {.name = "x"})),
            ErrorCode::NotFound);
}

TEST_F(RegistryTest, ProjectAndCompanyIdAreHadOnceButNoneByMany) {
  ASSERT_TRUE(registry->change_organisation(kOne, {.company_id = "c", .project = "p"}));
  EXPECT_EQ(code(registry->change_organisation(kTwo, {.project = "p"})), ErrorCode::Conflict);
  EXPECT_EQ(code(registry->change_organisation(kTwo, {.company_id = "c"})), ErrorCode::Conflict);
  EXPECT_EQ(code(registry->create_organisation({OrganisationId{7}, "", "c"})), ErrorCode::Conflict);
  EXPECT_EQ(code(registry->create_organisation({OrganisationId{7}, "", "", "p"})),
            ErrorCode::Conflict);
  EXPECT_TRUE(registry->change_organisation(kOne, {.company_id = "c", .project = "p"}));  // its own
  EXPECT_TRUE(registry->change_organisation(kOne, {.company_id = "", .project = ""}));
  EXPECT_TRUE(registry->change_organisation(kTwo, {.company_id = "c", .project = "p"}));
  EXPECT_FALSE(catalog->organisation(OrganisationId{7})->has_value());
}

TEST_F(RegistryTest, OrganisationsComeInPages) {
  const auto ids = [this](std::optional<OrganisationId> after, std::size_t limit) {
    std::vector<std::uint64_t> found;
    const auto page = *registry->organisations(after, limit);
    for (const Organisation& organisation : page) {
      found.push_back(organisation.id.value());
    }
    return found;
  };
  const std::vector<Organisation> zero = {{OrganisationId{0}, "a feed's"}};
  ASSERT_TRUE(catalog->register_organisations(zero));
  EXPECT_EQ(ids(std::nullopt, 2), (std::vector<std::uint64_t>{0, 1}));
  EXPECT_EQ(ids(OrganisationId{0}, 9), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(ids(OrganisationId{2}, 9), std::vector<std::uint64_t>{});
  EXPECT_EQ(code(registry->create_organisation({OrganisationId{kIdMax + 1}, ""})),
            ErrorCode::InvalidArgument);
}

TEST_F(RegistryTest, ATokenComesBackWholeAfterReopening) {
  const Result<ApplicationToken> made =
      registry->create_application_token(token("k1"), 100, WallTime{1234});
  ASSERT_TRUE(made) << made.error().message;
  registry = open();
  const ApplicationToken found = **registry->application_token("k1");
  EXPECT_EQ(found.id, made->id);
  EXPECT_EQ(found.organisation, kOne);
  EXPECT_EQ(found.name, "a \"name\"");
  EXPECT_EQ(found.role, Role::Developer);
  EXPECT_EQ(found.key_id, "k1");
  EXPECT_EQ(found.secret, "sealed");
  EXPECT_EQ(found.created, WallTime{1234});
  EXPECT_FALSE(registry->application_token("k2")->has_value());
  EXPECT_FALSE(registry->application_token("")->has_value());
}

TEST_F(RegistryTest, DeletingFindsOnlyTheOwnersTokenAndNoIdComesTwice) {
  const ApplicationTokenId first =
      registry->create_application_token(token("k1"), 100, WallTime{1})->id;
  EXPECT_EQ(code(registry->delete_application_token(kTwo, first)), ErrorCode::NotFound);
  EXPECT_EQ(registry->delete_application_token(kOne, first)->key_id, "k1");
  EXPECT_EQ(code(registry->delete_application_token(kOne, first)), ErrorCode::NotFound);
  const ApplicationTokenId second =
      registry->create_application_token(token("k2", kTwo), 100, WallTime{1})->id;
  EXPECT_GT(second, first);
  EXPECT_EQ(count(kOne), 0u);
  EXPECT_EQ(count(std::nullopt), 1u);
  EXPECT_TRUE(registry->delete_application_token(std::nullopt, second));
  EXPECT_EQ(count(std::nullopt), 0u);
}

TEST_F(RegistryTest, ATokenNeedsItsOrganisationAndAKeyOfItsOwn) {
  EXPECT_EQ(code(registry->create_application_token(token("k", OrganisationId{9}), 100, {})),
            ErrorCode::NotFound);
  ASSERT_TRUE(registry->create_application_token(token("k"), 100, {}));
  EXPECT_FALSE(registry->create_application_token(token("k", kTwo), 100, {}));
}

// Two connections, as two processes would have: the limit is looked at inside the transaction.
TEST_F(RegistryTest, TheLimitHoldsWhenManyCreateAtOnce) {
  const auto other = open();
  std::atomic<std::size_t> refused = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      Registry& mine = i % 2 == 0 ? *registry : *other;
      for (int n = 0; n < 5; ++n) {
        const auto made =
            mine.create_application_token(token(std::to_string(i * 10 + n)), 12, WallTime{1});
        if (code(made) == ErrorCode::ResourceExhausted) ++refused;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(count(kOne), 12u);
  EXPECT_EQ(refused, 8u);
  EXPECT_TRUE(registry->create_application_token(token("k", kTwo), 12, {}));  // each has its own
}

TEST_F(RegistryTest, ListsInPagesByOrganisation) {
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(registry->create_application_token(token(std::to_string(i)), 100, {}));
  }
  const auto page = *registry->application_tokens(kOne, ApplicationTokenId{0}, 3);
  ASSERT_EQ(page.size(), 3u);
  EXPECT_EQ(page[0].key_id, "0");
  EXPECT_EQ(registry->application_tokens(kOne, page[2].id, 3)->size(), 2u);
  EXPECT_EQ(registry->application_tokens(kTwo, ApplicationTokenId{0}, 3)->size(), 0u);
}

}  // namespace
}  // namespace sluice::catalog
