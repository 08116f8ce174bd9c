// Opening a catalog's file: its mode, its settings, its schema.

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "catalog/sqlite/database.h"
#include "catalog/sqlite/migrations.h"

namespace sluice::catalog {
namespace {

constexpr std::int64_t kApplicationId = 0x534c4331;  // "SLC1", in the file's header

// Changing a new file to WAL wants an exclusive lock and does not wait for it, so two processes
// that open it at the same moment can meet here.
Result<void> use_wal(Database& database) {
  for (int attempt = 1;; ++attempt) {
    Result<void> done = database.execute("PRAGMA journal_mode = WAL");
    if (done || done.error().code != ErrorCode::Unavailable || attempt == 100) return done;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// The process before may have died of a failed sync: then its last commit, which it called failed,
// is seen from here on, but lies in the page cache alone, where Linux calls it clean. A later sync
// would not write it, and with it a power cut would take all that was committed behind it.
Result<void> make_durable(Database& database) {
  Result<Transaction> transaction = Transaction::begin(database);
  if (!transaction) return transaction.error();
  return database.write_log_again();
}

Result<void> migrate(Database& database) {
  Result<Transaction> transaction = Transaction::begin(database);  // nobody migrates beside us
  if (!transaction) return transaction.error();
  const Result<std::int64_t> application = database.integer("PRAGMA application_id");
  if (!application) return application.error();
  const Result<std::int64_t> version = database.integer("PRAGMA user_version");
  if (!version) return version.error();
  const Result<std::int64_t> tables = database.integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tables.error();
  const bool empty = *version == 0 && *tables == 0;
  if (*application != kApplicationId && !empty) {
    return Error{ErrorCode::Corruption, "catalog: this is a database, but not a Sluice catalog"};
  }
  const auto newest = static_cast<std::int64_t>(migrations().size());
  if (*version > newest) {
    return Error{
        ErrorCode::Corruption,
        fmt::format("catalog: made by a newer Sluice (schema version {}, this program knows "
                    "up to {}); use that one",
                    *version, newest)};
  }
  for (std::int64_t next = *version; next < newest; ++next) {
    const Result<void> done =
        database.execute(std::string(migrations()[static_cast<std::size_t>(next)]));
    if (!done) return done.error();
  }
  const Result<void> stamped = database.execute(
      fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", kApplicationId, newest));
  if (!stamped) return stamped.error();
  return transaction->commit();
}

// A damaged page found now is one sentence at the start, instead of a failing call some day.
Result<void> check_pages(Database& database) {
  Result<Statement> query = database.prepare("PRAGMA quick_check(1)");
  if (!query) return query.error();
  const Result<bool> row = query->step();
  if (!row) return row.error();
  if (query->text(0) == "ok") return {};
  return Error{ErrorCode::Corruption,
               fmt::format("catalog: damaged ({}); restore it from a backup", query->text(0))};
}

Result<Database> open_and_migrate(const std::string& path) {
  const Result<void> made = Database::make_file(path);
  if (!made) return made.error();
  Result<Database> database = Database::open(path, Database::Room::OfReserve);
  if (!database) return database;
  const Result<void> wal = use_wal(*database);
  if (!wal) return wal.error();
  const Result<void> configured =
      database->execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
  if (!configured) return configured.error();
  const Result<void> durable = make_durable(*database);
  if (!durable) return durable.error();
  const Result<void> sound = check_pages(*database);
  if (!sound) return sound.error();
  const Result<void> migrated = migrate(*database);
  if (!migrated) return migrated.error();
  return database;
}

}  // namespace

Result<Database> open_database(const std::string& path) {
  Result<Database> database = open_and_migrate(path);
  if (database) return database;
  return Error{database.error().code, fmt::format("{}: {}", path, database.error().message)};
}

}  // namespace sluice::catalog
