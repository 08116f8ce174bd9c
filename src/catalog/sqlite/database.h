#pragma once
// One SQLite connection and its statements, with Results instead of codes. Used by this folder's
// .cc files alone.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sluice::catalog {

inline constexpr const char* kReserveVfs = "sluice-reserve";  // ReserveVfs's name within SQLite

// A prepared statement, bound from left to right. Errors are those of Catalog.
class Statement {
 public:
  Statement(Statement&&) noexcept = default;
  Statement& operator=(Statement&&) noexcept = default;

  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view text);  // copied
  template <class T>
  Statement& bind_or_null(const std::optional<T>& value) {
    return value ? bind(*value) : bind_null();
  }

  // True: a row is there to be read. False: done.
  Result<bool> step();
  // Runs a statement that returns no rows, and makes it ready to be bound and run again, also after
  // an error.
  Result<void> run();

  std::int64_t integer(int column) const;
  std::optional<std::int64_t> optional_integer(int column) const;
  std::optional<int> optional_int(int column) const;
  std::string text(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(sqlite3* connection, sqlite3_stmt* statement);
  Statement& bind_null();

  sqlite3* connection_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bound_ = 0;
  int bind_result_ = 0;  // the first failure; step() reports it
};

// Threads: none; the owner locks.
class Database {
 public:
  // Makes `path`, an empty file that its owner alone may read, unless it is there.
  static Result<void> make_file(const std::string& path);
  enum class Room : std::uint8_t {
    OnDisk,
    OfReserve,  // draws on the disk reserve where there is a ReserveVfs
  };
  // Opens `path`, which exists. Waits up to 5 s for another process's lock, here and in each call.
  static Result<Database> open(const std::string& path, Room room = Room::OnDisk);

  Result<Statement> prepare(std::string_view sql);
  // Prepared at its first use and kept, for what runs so often that preparing would cost more than
  // running. For run() alone. `sql` outlives this.
  Result<Statement*> kept(std::string_view sql);
  // Runs all statements of `sql`, ignoring rows.
  Result<void> execute(const std::string& sql);
  // Writes the bytes of the write-ahead log, if there is one, to it once more, and syncs it. To be
  // called within a Transaction.
  Result<void> write_log_again();
  // The one integer that `sql` asks for.
  Result<std::int64_t> integer(std::string_view sql);

  std::int64_t last_insert_id() const;
  int changes() const;

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit Database(sqlite3* connection) : connection_(connection) {}

  std::unique_ptr<sqlite3, Close> connection_;
  std::unordered_map<std::string_view, Statement> kept_;  // goes first
};

// Opens or makes a catalog's file, as open_sqlite() says; the error names the path.
Result<Database> open_database(const std::string& path);

// BEGIN IMMEDIATE; rolled back unless commit() succeeded.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  ~Transaction();
  Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;  // null: nothing left to roll back
};

}  // namespace sluice::catalog
