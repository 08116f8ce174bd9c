#include "catalog/sqlite/own_file.h"

#include <fmt/format.h>

#include <utility>

namespace sluice::catalog {
namespace {

Result<void> make_schema(Database& database, const OwnFile& file) {
  const Result<std::int64_t> application = database.integer("PRAGMA application_id");
  if (!application) return application.error();
  const Result<std::int64_t> version = database.integer("PRAGMA user_version");
  if (!version) return version.error();
  if (*application == file.application_id && *version == file.schema_version) return {};
  const Result<std::int64_t> tables = database.integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tables.error();
  if (*tables > 0) {
    return Error{ErrorCode::Corruption,
                 fmt::format("not a file of {} that this version knows; move it away", file.name)};
  }
  Result<Transaction> transaction = Transaction::begin(database);
  if (!transaction) return transaction.error();
  const Result<void> made =
      database.execute(fmt::format("{} PRAGMA application_id = {}; PRAGMA user_version = {}",
                                   file.schema, file.application_id, file.schema_version));
  if (!made) return made.error();
  return transaction->commit();
}

Result<Database> open(const std::string& path, const OwnFile& file) {
  const Result<void> made = Database::make_file(path);
  if (!made) return made.error();
  Result<Database> database = Database::open(path, file.room);
  if (!database) return database;
  const Result<void> configured = database->execute(std::string(file.configure));
  if (!configured) return configured.error();
  const Result<void> schema = make_schema(*database, file);
  if (!schema) return schema.error();
  return database;
}

}  // namespace

Result<Database> open_own_file(const std::string& path, const OwnFile& file) {
  Result<Database> database = open(path, file);
  if (database) return database;
  const Error error = renamed(std::move(database.error()), file.name);
  return Error{error.code, fmt::format("{}: {}", path, error.message)};
}

Error renamed(Error error, std::string_view name) {
  constexpr std::string_view kOther = "catalog: ";
  if (error.message.starts_with(kOther)) error.message.erase(0, kOther.size());
  return {error.code, fmt::format("{}: {}", name, error.message)};
}

}  // namespace sluice::catalog
