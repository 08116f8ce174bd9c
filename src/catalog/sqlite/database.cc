#include "catalog/sqlite/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::catalog {
namespace {

constexpr int kBusyTimeoutMs = 5'000;
constexpr int kRewriteBytes = 64 << 10;

// SQLite's messages name tables and columns, never values.
Error error_of(sqlite3* connection, int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::Unavailable,
              "catalog: another process keeps it locked; stop that process or try again"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorCode::Corruption, fmt::format("catalog: damaged ({}); restore it from a backup",
                                                 sqlite3_errmsg(connection))};
    case SQLITE_FULL:
      return {ErrorCode::ResourceExhausted, "catalog: the disk is full; free some space"};
    default: return {ErrorCode::Io, fmt::format("catalog: {}", sqlite3_errmsg(connection))};
  }
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Statement::Statement(sqlite3* connection, sqlite3_stmt* statement)
    : connection_(connection), statement_(statement) {}

Statement& Statement::bind(std::int64_t value) {
  bind_result_ |= sqlite3_bind_int64(statement_.get(), ++bound_, value);
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  // A view without data would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  bind_result_ |= sqlite3_bind_text64(statement_.get(), ++bound_, data, text.size(),
                                      SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_null() {
  bind_result_ |= sqlite3_bind_null(statement_.get(), ++bound_);
  return *this;
}

Result<bool> Statement::step() {
  if (bind_result_ != SQLITE_OK) {
    return Error{ErrorCode::InvalidArgument, "catalog: a value is too large to be stored"};
  }
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return error_of(connection_, code);
}

Result<void> Statement::run() {
  const Result<bool> row = step();
  sqlite3_reset(statement_.get());
  bound_ = 0;
  bind_result_ = SQLITE_OK;
  if (!row) return row.error();
  SLUICE_ASSERT(!*row);
  return {};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::optional<std::int64_t> Statement::optional_integer(int column) const {
  if (sqlite3_column_type(statement_.get(), column) == SQLITE_NULL) return std::nullopt;
  return integer(column);
}

std::optional<int> Statement::optional_int(int column) const {
  const std::optional<std::int64_t> value = optional_integer(column);
  return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? std::string() : std::string(data, static_cast<std::size_t>(size));
}

void Database::Close::operator()(sqlite3* connection) const { sqlite3_close(connection); }

// SQLite would make the file with the umask's mode; its journals take the file's. A file that is
// there is not opened: closing it would drop the locks of this process's other connections to it,
// and another process could take the write-ahead log from under them.
Result<void> Database::make_file(const std::string& path) {
  // SQLite's own way to look: the simulator's disk is not the platform's.
  sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
  int is_there = 0;
  if (vfs->xAccess(vfs, path.c_str(), SQLITE_ACCESS_EXISTS, &is_there) == SQLITE_OK &&
      is_there != 0) {
    return {};
  }
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0 && errno == EEXIST) return {};
  if (descriptor < 0) {
    return Error{ErrorCode::Io, fmt::format("catalog: {}", std::strerror(errno))};
  }
  ::close(descriptor);
  return {};
}

Result<Database> Database::open(const std::string& path, Room room) {
  const bool reserve = room == Room::OfReserve && sqlite3_vfs_find(kReserveVfs) != nullptr;
  sqlite3* connection = nullptr;
  // NOMUTEX: the owner locks.
  const int code =
      sqlite3_open_v2(path.c_str(), &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                      reserve ? kReserveVfs : nullptr);
  Database database(connection);
  if (code != SQLITE_OK) {
    return Error{ErrorCode::Io, fmt::format("catalog: {}", sqlite3_errstr(code))};
  }
  sqlite3_busy_timeout(connection, kBusyTimeoutMs);
  sqlite3_extended_result_codes(connection, 1);
  return database;
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                      &statement, nullptr);
  if (code != SQLITE_OK) return error_of(connection_.get(), code);
  return Statement(connection_.get(), statement);
}

Result<Statement*> Database::kept(std::string_view sql) {
  if (const auto found = kept_.find(sql); found != kept_.end()) return &found->second;
  Result<Statement> statement = prepare(sql);
  if (!statement) return statement.error();
  return &kept_.emplace(sql, *std::move(statement)).first->second;
}

Result<void> Database::execute(const std::string& sql) {
  const int code = sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error_of(connection_.get(), code);
  return {};
}

Result<void> Database::write_log_again() {
  sqlite3_file* log = nullptr;
  sqlite3_file_control(connection_.get(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (log == nullptr || log->pMethods == nullptr) return {};
  const auto failed = [](int code) {
    return Error{(code & 0xff) == SQLITE_FULL ? ErrorCode::ResourceExhausted : ErrorCode::Io,
                 fmt::format("catalog: {}", sqlite3_errstr(code))};
  };
  sqlite3_int64 size = 0;
  int code = log->pMethods->xFileSize(log, &size);
  std::string bytes(kRewriteBytes, '\0');
  for (sqlite3_int64 at = 0; code == SQLITE_OK && at < size; at += kRewriteBytes) {
    const int count = static_cast<int>(std::min<sqlite3_int64>(size - at, kRewriteBytes));
    code = log->pMethods->xRead(log, bytes.data(), count, at);
    if (code == SQLITE_OK) code = log->pMethods->xWrite(log, bytes.data(), count, at);
  }
  if (code == SQLITE_OK) code = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) return failed(code);
  return {};
}

Result<std::int64_t> Database::integer(std::string_view sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement) return statement.error();
  const Result<bool> row = statement->step();
  if (!row) return row.error();
  SLUICE_ASSERT(*row);
  return statement->integer(0);
}

std::int64_t Database::last_insert_id() const {
  return sqlite3_last_insert_rowid(connection_.get());
}

int Database::changes() const { return sqlite3_changes(connection_.get()); }

Result<Transaction> Transaction::begin(Database& database) {
  const Result<void> begun = database.execute("BEGIN IMMEDIATE");
  if (!begun) return begun.error();
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  // Fails only where SQLite has rolled back by itself, which is as good.
  (void)database_->execute("ROLLBACK").has_value();
}

Result<void> Transaction::commit() {
  const Result<void> committed = database_->execute("COMMIT");
  if (committed) database_ = nullptr;
  return committed;
}

}  // namespace sluice::catalog
