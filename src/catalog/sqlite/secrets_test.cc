#include "catalog/secrets.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "catalog/catalog.h"
#include "catalog/places.h"
#include "catalog/registry.h"

namespace sluice::catalog {
namespace {

constexpr OrganisationId kOrganisation{7};
const std::string kSecret = "correct-horse-battery-staple";
const std::string kDestination = R"({"credentials":{"headers":["X-Key:)" + kSecret + R"("]}})";

class SecretsTest : public testing::Test {
 protected:
  SecretsTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "secrets-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directory(directory_ + "/data");
  }
  ~SecretsTest() override { std::filesystem::remove_all(directory_); }

  std::string path() const { return directory_ + "/data/catalog.db"; }
  std::string key() const { return directory_ + "/data.secrets.key"; }
  std::string next_key() const { return key() + ".next"; }

  SecretBox open() {
    const Result<SecretBox> secrets = open_secrets(path(), key());
    EXPECT_TRUE(secrets.has_value()) << secrets.error().message;
    return *secrets;
  }
  std::string open_fault() {
    const Result<SecretBox> secrets = open_secrets(path(), key());
    if (secrets.has_value()) return "opened";
    EXPECT_EQ(secrets.error().code, ErrorCode::Corruption);
    return secrets.error().message;
  }

  StreamId add_stream(const SecretBox& secrets) {
    const auto catalog = open_sqlite(path(), secrets);
    const Organisation organisation{kOrganisation, "Seven"};
    EXPECT_TRUE((*catalog)->register_organisations({&organisation, 1}));
    Stream stream;
    stream.organisation = kOrganisation;
    stream.destination = kDestination;
    return (*catalog)->create_stream(std::move(stream), WallTime{1})->id;
  }
  std::string destination(StreamId id, const SecretBox& secrets) {
    return (*(*open_sqlite(path(), secrets))->stream(id))->destination;
  }

  // As a version before this one kept them.
  void put_in_clear(StreamId id) {
    sql("UPDATE streams SET destination = '" + kDestination +
        "' WHERE id = " + std::to_string(id.value()) + "; DELETE FROM secrets");
  }
  void sql(const std::string& statements) {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &connection), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(connection, statements.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(connection);
  }

  // In the data directory, whatever the file.
  bool lies_about(const std::string& text) {
    for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/data")) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      if (bytes.find(text) != bytes.npos) return true;
    }
    return false;
  }
  static std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  std::string directory_;
};

TEST_F(SecretsTest, ADestinationIsSealedForItsStream) {
  const SecretBox secrets = open();
  const StreamId one = add_stream(secrets);
  const StreamId two = add_stream(secrets);
  EXPECT_EQ(destination(one, secrets), kDestination);
  EXPECT_FALSE(lies_about(kSecret));
  // Another stream's does not open in its place.
  sql("UPDATE streams SET destination = (SELECT destination FROM streams WHERE id = " +
      std::to_string(one.value()) + ")");
  EXPECT_EQ(destination(one, secrets), kDestination);
  EXPECT_EQ(destination(two, secrets), "{}");
}

TEST_F(SecretsTest, WhatLiesInClearIsSealedAndNoCopyOfItStays) {
  const StreamId id = add_stream(open());
  put_in_clear(id);
  ASSERT_TRUE(lies_about(kSecret));
  EXPECT_EQ(destination(id, open()), kDestination);
  EXPECT_FALSE(lies_about(kSecret));
}

TEST_F(SecretsTest, WhatLiesInClearIsSealedAgainAfterACrashBetween) {
  const StreamId id = add_stream(open());
  put_in_clear(id);
  // Sealed, but without the mark that it was.
  open();
  sql("DELETE FROM secrets");
  EXPECT_EQ(destination(id, open()), kDestination);
}

TEST_F(SecretsTest, AMissingKeyIsNotMadeAnew) {
  add_stream(open());
  std::filesystem::remove(key());
  const std::string fault = open_fault();
  EXPECT_NE(fault.find("data.secrets.key is missing: put back the file"), std::string::npos)
      << fault;
  EXPECT_FALSE(std::filesystem::exists(key()));
}

TEST_F(SecretsTest, AnotherKeyIsRefused) {
  const StreamId id = add_stream(open());
  const std::string right = content(key());
  std::ofstream(key(), std::ios::binary) << std::string(32, 'x');
  EXPECT_NE(open_fault().find("is not the one that"), std::string::npos);
  std::ofstream(key(), std::ios::binary) << right;
  EXPECT_EQ(destination(id, open()), kDestination);
}

TEST_F(SecretsTest, RotatingGivesEverythingANewKey) {
  const SecretBox old = open();
  const StreamId id = add_stream(old);
  const auto registry = *open_sqlite_registry(path());
  ApplicationToken token;
  token.organisation = kOrganisation;
  token.key_id = "ab";
  token.secret = old.seal("token secret", application_token_place(7, "ab"));
  ASSERT_TRUE(registry->create_application_token(token, 10, WallTime{1}));
  const Result<std::string> own =
      server_secret(path(), old, "own", [] { return std::string("server secret"); });
  const std::string old_key = content(key());

  const Result<Rotation> rotation = rotate_secrets(path(), key());
  ASSERT_TRUE(rotation.has_value()) << rotation.error().message;
  EXPECT_EQ(rotation->sealed, 4u);  // and the mark
  EXPECT_EQ(rotation->unreadable, 0u);
  EXPECT_NE(content(key()), old_key);
  EXPECT_FALSE(std::filesystem::exists(next_key()));

  const SecretBox fresh = open();
  EXPECT_EQ(destination(id, fresh), kDestination);
  EXPECT_EQ(destination(id, old), "{}");
  const auto sealed = registry->application_token("ab");
  EXPECT_EQ(*fresh.open((*sealed)->secret, application_token_place(7, "ab")), "token secret");
  EXPECT_EQ(*server_secret(path(), fresh, "own", [] { return std::string("another"); }), *own);
}

// Before, in the middle of and after the one transaction that seals everything anew.
TEST_F(SecretsTest, ARotationThatWasCutShortIsReadAndFinished) {
  const StreamId id = add_stream(open());
  const std::string old_key = content(key());
  const std::string new_key(32, 'n');

  std::ofstream(next_key(), std::ios::binary) << new_key;  // cut short before
  EXPECT_EQ(destination(id, open()), kDestination);
  const StreamId between = add_stream(open());  // sealed with the next key
  EXPECT_EQ(destination(between, open()), kDestination);
  ASSERT_TRUE(rotate_secrets(path(), key()));
  EXPECT_EQ(content(key()), new_key);

  std::filesystem::rename(key(), next_key());  // cut short after
  std::ofstream(key(), std::ios::binary) << old_key;
  EXPECT_EQ(destination(id, open()), kDestination);
  ASSERT_TRUE(rotate_secrets(path(), key()));
  EXPECT_EQ(content(key()), new_key);
  EXPECT_FALSE(std::filesystem::exists(next_key()));
  EXPECT_EQ(destination(id, open()), kDestination);
  EXPECT_EQ(destination(between, open()), kDestination);
}

TEST_F(SecretsTest, AServerSecretIsMadeOnce) {
  const SecretBox secrets = open();
  static int made = 0;
  const auto make = [] { return std::string("made ") + std::to_string(++made); };
  EXPECT_EQ(*server_secret(path(), secrets, "own", make), "made 1");
  EXPECT_EQ(*server_secret(path(), secrets, "own", make), "made 1");
  EXPECT_FALSE(lies_about("made 1"));
}

}  // namespace
}  // namespace sluice::catalog
