#include "catalog/copy.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/fs.h"
#include "catalog/sqlite/database.h"

namespace sluice::catalog {

Result<void> copy_database(const std::string& from, const std::string& to) {
  std::error_code fault;
  if (!std::filesystem::exists(from, fault)) {
    return Error{ErrorCode::NotFound, fmt::format("there is no {}", from)};
  }
  const auto named = [&from](const Error& error) {
    return Error{error.code, fmt::format("{}: {}", from, error.message)};
  };
  if (auto made = Database::make_file(to); !made) return named(made.error());
  Result<Database> database = Database::open(from);
  if (!database) return named(database.error());
  Result<Statement> copy = database->prepare("VACUUM INTO ?");
  if (!copy) return named(copy.error());
  if (auto done = copy->bind(to).run(); !done) return named(done.error());
  const auto file = posix_file_system().open(to, OpenMode::ReadWrite);
  if (!file) return file.error();
  return (*file)->sync_data();
}

Result<void> renew_batch_ids(const std::string& path, std::uint32_t revision) {
  Result<Database> database = open_database(path);
  if (!database) return database.error();
  Result<Statement> raise = database->prepare("UPDATE streams SET revision = max(revision + 1, ?)");
  if (!raise) return raise.error();
  return raise->bind(std::int64_t{revision}).run();
}

}  // namespace sluice::catalog
