#include "catalog/secrets.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/key_file.h"
#include "catalog/places.h"
#include "catalog/sqlite/database.h"

namespace sluice::catalog {
namespace {

constexpr std::string_view kKeyName = "secrets key";
constexpr std::string_view kCheck = "check";  // sealed on first use: tells a wrong key
constexpr std::string_view kChecked = "this key";

std::string next_of(const std::string& key_file) { return key_file + ".next"; }

Result<std::optional<std::string>> find_secret(Database& database, std::string_view name) {
  Result<Statement> query = database.prepare("SELECT value FROM secrets WHERE name = ?");
  if (!query) return query.error();
  const Result<bool> row = query->bind(name).step();
  if (!row) return row.error();
  return *row ? std::optional(query->text(0)) : std::nullopt;
}

Result<void> add_secret(Database& database, const SecretBox& secrets, std::string_view name,
                        std::string_view value) {
  Result<Statement> insert =
      database.prepare("INSERT OR IGNORE INTO secrets (name, value) VALUES (?, ?)");
  if (!insert) return insert.error();
  return insert->bind(name).bind(secrets.seal(value, server_place(name))).run();
}

// Nothing of what was overwritten stays readable in the file or beside it.
Result<void> scrub(Database& database) {
  return database.execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
}

struct Row {
  std::int64_t id;
  std::string place;
  std::string value;
};

// One table's column of secrets.
struct Column {
  const char* rows;    // SELECT id, organisation id or 0, what names the object, the secret
  const char* update;  // of the secret and the id
  std::string (*place)(std::uint64_t organisation, std::string_view object);
};

const Column kColumns[] = {
    {"SELECT id, organisation_id, id, destination FROM streams",
     "UPDATE streams SET destination = ? WHERE id = ?", &destination_place},
    {"SELECT id, organisation_id, key_id, secret FROM application_tokens",
     "UPDATE application_tokens SET secret = ? WHERE id = ?", &application_token_place},
    {"SELECT rowid, 0, name, value FROM secrets", "UPDATE secrets SET value = ? WHERE rowid = ?",
     [](std::uint64_t, std::string_view name) { return server_place(name); }},
};

Result<std::vector<Row>> rows_of(Database& database, const Column& column) {
  Result<Statement> query = database.prepare(column.rows);
  if (!query) return query.error();
  std::vector<Row> rows;
  for (;;) {
    const Result<bool> row = query->step();
    if (!row) return row.error();
    if (!*row) return rows;
    rows.push_back({query->integer(0),
                    column.place(static_cast<std::uint64_t>(query->integer(1)), query->text(2)),
                    query->text(3)});
  }
}

Result<void> replace(Database& database, const Column& column, const Row& row,
                     std::string_view value) {
  Result<Statement> update = database.prepare(column.update);
  if (!update) return update.error();
  return update->bind(value).bind(row.id).run();
}

// Destinations were kept as JSON before they were sealed.
Result<void> seal_what_is_clear(Database& database, const SecretBox& secrets) {
  Result<Transaction> transaction = Transaction::begin(database);
  if (!transaction) return transaction.error();
  const Column& destinations = kColumns[0];
  const Result<std::vector<Row>> rows = rows_of(database, destinations);
  if (!rows) return rows.error();
  for (const Row& row : *rows) {
    if (!row.value.starts_with('{')) continue;
    const Result<void> done =
        replace(database, destinations, row, secrets.seal(row.value, row.place));
    if (!done) return done;
  }
  return transaction->commit();
}

Result<Rotation> seal_all_anew(Database& database, const SecretBox& secrets) {
  Rotation rotation;
  Result<Transaction> transaction = Transaction::begin(database);
  if (!transaction) return transaction.error();
  for (const Column& column : kColumns) {
    const Result<std::vector<Row>> rows = rows_of(database, column);
    if (!rows) return rows.error();
    for (const Row& row : *rows) {
      const Result<std::string> value = secrets.open(row.value, row.place);
      if (!value) {
        ++rotation.unreadable;
        continue;
      }
      const Result<void> done = replace(database, column, row, secrets.seal(*value, row.place));
      if (!done) return done.error();
      ++rotation.sealed;
    }
  }
  const Result<void> committed = transaction->commit();
  if (!committed) return committed.error();
  return rotation;
}

// What the key is for: it must be there and open what the catalog was sealed with.
Result<SecretBox> read_keys(const std::string& path, const std::string& key_file,
                            const std::string& check) {
  const Result<std::optional<KeyBytes>> key = read_key(key_file, kKeyName);
  if (!key) return key.error();
  const Result<std::optional<KeyBytes>> next = read_key(next_of(key_file), kKeyName);
  if (!next) return next.error();
  if (!*key && !*next) {
    return Error{ErrorCode::Corruption,
                 fmt::format("the secrets key {} is missing: put back the file that belongs to {}, "
                             "or name it as [secrets] key_file; without it the secrets of streams "
                             "and application tokens cannot be read",
                             key_file, path)};
  }
  SecretBox secrets(*key ? **key : **next, *next);
  if (secrets.open(check, server_place(kCheck))) return secrets;
  return Error{
      ErrorCode::Corruption,
      fmt::format("the secrets key {} is not the one that {} was sealed with: put back the "
                  "file that belongs to it, or name it as [secrets] key_file",
                  key_file, path)};
}

Result<SecretBox> open_keys(Database& database, const std::string& path,
                            const std::string& key_file) {
  const Result<std::optional<std::string>> check = find_secret(database, kCheck);
  if (!check) return check.error();
  if (*check) return read_keys(path, key_file, **check);
  const Result<KeyBytes> key =
      load_or_create_key(key_file, kKeyName, "what was sealed with it cannot be read any more");
  if (!key) return key.error();
  SecretBox secrets(*key);
  if (Result<void> done = seal_what_is_clear(database, secrets); !done) return done.error();
  if (Result<void> done = scrub(database); !done) return done.error();
  // Last: without it the steps before are made again.
  if (Result<void> done = add_secret(database, secrets, kCheck, kChecked); !done) {
    return done.error();
  }
  return secrets;
}

}  // namespace

Result<SecretBox> open_secrets(const std::string& path, const std::string& key_file) {
  Result<Database> database = open_database(path);
  if (!database) return database.error();
  return open_keys(*database, path, key_file);
}

// The new key is on disk before anything is sealed with it, everything is sealed with it in one
// transaction, and the old one goes last.
Result<Rotation> rotate_secrets(const std::string& path, const std::string& key_file) {
  Result<Database> database = open_database(path);
  if (!database) return database.error();
  const Result<SecretBox> present = open_keys(*database, path, key_file);
  if (!present) return present.error();
  const Result<KeyBytes> next = load_or_create_key(next_of(key_file), kKeyName, "nothing yet");
  if (!next) return next.error();
  const Result<std::optional<KeyBytes>> key = read_key(key_file, kKeyName);
  if (!key) return key.error();
  const Result<Rotation> rotation =
      seal_all_anew(*database, SecretBox(key->value_or(*next), *next));
  if (!rotation) return rotation;
  if (Result<void> done = scrub(*database); !done) return done.error();
  FileSystem& fs = posix_file_system();
  if (Result<void> done = fs.rename(next_of(key_file), key_file); !done) return done.error();
  const std::string directory = std::filesystem::path(key_file).parent_path().string();
  const Result<void> synced = fs.sync_directory(directory.empty() ? "." : directory);
  if (!synced) return synced.error();
  return rotation;
}

Result<std::string> server_secret(const std::string& path, const SecretBox& secrets,
                                  std::string_view name, std::string (*make)()) {
  Result<Database> database = open_database(path);
  if (!database) return database.error();
  Result<std::optional<std::string>> sealed = find_secret(*database, name);
  if (sealed && !*sealed) {
    const Result<void> added = add_secret(*database, secrets, name, make());
    if (!added) return added.error();
    sealed = find_secret(*database, name);  // another's, if that was faster
  }
  if (!sealed) return sealed.error();
  SLUICE_ASSERT(sealed->has_value());
  return secrets.open(**sealed, server_place(name));
}

}  // namespace sluice::catalog
