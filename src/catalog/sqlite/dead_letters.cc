// Dead letters on SQLite, in a file of their own: 100 MiB a stream shall not swell the catalog. One
// connection behind a mutex.

#include "catalog/dead_letters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "base/mutex.h"
#include "catalog/sqlite/database.h"
#include "catalog/sqlite/own_file.h"
#include "catalog/sqlite/rows.h"

namespace sluice::catalog {
namespace {

constexpr OwnFile kFile = {.name = "dead letters",
                           .application_id = 0x534c4431,  // "SLD1"
                           .schema_version = 1,
                           .configure =
                               "PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = TRUNCATE; "
                               "PRAGMA synchronous = FULL",
                           .schema = R"sql(
  CREATE TABLE letter (
    stream_id INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    parked_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    status INTEGER,
    marked INTEGER NOT NULL,
    columns TEXT NOT NULL, -- RecordColumns, as in the log
    bytes INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (stream_id, record_offset)
  );
  -- Sizes are summed up over this alone, whatever the records weigh.
  CREATE INDEX letter_sizes ON letter (stream_id, bytes);
  CREATE TABLE state (
    key INTEGER PRIMARY KEY,
    bytes TEXT NOT NULL
  );
)sql",
                           .room = Database::Room::OfReserve};

Error ours(Error error) { return renamed(std::move(error), kFile.name); }

std::int64_t sql_offset(Offset offset) { return static_cast<std::int64_t>(offset.value()); }

constexpr std::string_view kLetterColumns =
    "record_offset, columns, kind, parked_ms, reason, status, record";

std::string_view text_of(const RecordColumns& columns) {
  return {reinterpret_cast<const char*>(&columns), sizeof columns};
}

RecordColumns columns_of(const std::string& text) {
  RecordColumns columns;
  if (text.size() == sizeof columns) std::memcpy(&columns, text.data(), sizeof columns);
  return columns;
}

DeadLetter letter_of(const Statement& row) {
  return {.offset = Offset{static_cast<std::uint64_t>(row.integer(0))},
          .columns = columns_of(row.text(1)),
          .kind = static_cast<Kind>(row.integer(2)),
          .parked = WallTime{row.integer(3)},
          .reason = row.text(4),
          .status = row.optional_int(5),
          .record = row.text(6)};
}

class SqliteDeadLetters final : public DeadLetters {
 public:
  SqliteDeadLetters(Database database, Limits limits, Metrics& metrics)
      : limits_(limits),
        count_(metrics.gauge("sluice_dead_letters", "Dead letters kept, of all streams.")),
        bytes_(metrics.gauge("sluice_dead_letters_bytes", "Bytes of their records.")),
        database_(std::move(database)) {}

  Result<void> load_sizes();
  Result<void> park(StreamId stream, std::span<const DeadLetter> letters,
                    const State& state) override;
  Result<std::vector<State>> states() override;
  Result<Page> list(StreamId stream, Offset from, std::uint32_t limit) override;
  Result<Marked> mark(StreamId stream, const std::optional<std::vector<Offset>>& offsets) override;
  Result<void> unmark(StreamId stream) override;
  Result<Page> marked(StreamId stream, Offset from, std::uint32_t limit) override;
  Result<std::uint64_t> remove(StreamId stream,
                               const std::optional<std::vector<Offset>>& offsets) override;
  Result<void> forget(StreamId key) override;
  Result<void> keep_only(std::span<const StreamId> keys) override;
  std::uint64_t count(StreamId stream) const override;
  bool is_full(StreamId stream) const override;

 private:
  struct Size {
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
  };
  Result<Size> size_in_file(StreamId stream) SLUICE_REQUIRES(mutex_);
  Result<void> insert(StreamId stream, std::span<const DeadLetter> letters) SLUICE_REQUIRES(mutex_);
  Result<void> keep_state(const State& state) SLUICE_REQUIRES(mutex_);
  Result<Page> read_page(Result<Statement> query, StreamId stream, Offset from, std::uint32_t limit)
      SLUICE_REQUIRES(mutex_);
  Result<void> set_mark(StreamId stream, const std::optional<std::vector<Offset>>& offsets)
      SLUICE_REQUIRES(mutex_);
  Result<std::uint64_t> erase(StreamId stream, const std::optional<std::vector<Offset>>& offsets)
      SLUICE_REQUIRES(mutex_);
  Result<void> erase_all(StreamId key) SLUICE_REQUIRES(mutex_);
  void note(StreamId stream, Size size);
  Size size(StreamId stream) const;

  const Limits limits_;
  Gauge count_;
  Gauge bytes_;
  Mutex mutex_;
  Database database_ SLUICE_GUARDED_BY(mutex_);
  mutable Mutex sizes_mutex_;  // never held during I/O
  std::unordered_map<StreamId, Size> sizes_ SLUICE_GUARDED_BY(sizes_mutex_);
};

Result<void> SqliteDeadLetters::load_sizes() {
  const MutexLock lock(mutex_);
  Result<Statement> query =
      database_.prepare("SELECT stream_id, count(*), sum(bytes) FROM letter GROUP BY 1");
  if (!query) return ours(query.error());
  for (;;) {
    const Result<bool> row = query->step();
    if (!row) return ours(row.error());
    if (!*row) return {};
    note(StreamId{static_cast<std::uint64_t>(query->integer(0))},
         {static_cast<std::uint64_t>(query->integer(1)),
          static_cast<std::uint64_t>(query->integer(2))});
  }
}

SqliteDeadLetters::Size SqliteDeadLetters::size(StreamId stream) const {
  const MutexLock lock(sizes_mutex_);
  const auto found = sizes_.find(stream);
  return found == sizes_.end() ? Size{} : found->second;
}

std::uint64_t SqliteDeadLetters::count(StreamId stream) const { return size(stream).count; }

bool SqliteDeadLetters::is_full(StreamId stream) const {
  const Size now = size(stream);
  return now.count >= limits_.count_max || now.bytes >= limits_.bytes_max;
}

void SqliteDeadLetters::note(StreamId stream, Size size) {
  const MutexLock lock(sizes_mutex_);
  const auto [found, is_new] = sizes_.try_emplace(stream);
  const Size before = std::exchange(found->second, size);
  if (size.count == 0) sizes_.erase(found);
  count_.add(static_cast<double>(size.count) - static_cast<double>(before.count));
  bytes_.add(static_cast<double>(size.bytes) - static_cast<double>(before.bytes));
}

Result<SqliteDeadLetters::Size> SqliteDeadLetters::size_in_file(StreamId stream) {
  Result<Statement> query =
      database_.prepare("SELECT count(*), coalesce(sum(bytes), 0) FROM letter WHERE stream_id = ?");
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(stream)).step();
  if (!row) return row.error();
  return Size{static_cast<std::uint64_t>(query->integer(0)),
              static_cast<std::uint64_t>(query->integer(1))};
}

Result<void> SqliteDeadLetters::park(StreamId stream, std::span<const DeadLetter> letters,
                                     const State& state) {
  const Size before = size(stream);
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return ours(transaction.error());
  if (auto inserted = insert(stream, letters); !inserted) return ours(inserted.error());
  if (auto kept = keep_state(state); !kept) return ours(kept.error());
  // Some may have been there before.
  const Result<Size> size = size_in_file(stream);
  if (!size) return ours(size.error());
  if (size->count > limits_.count_max || size->bytes > limits_.bytes_max) {
    return Error{ErrorCode::Conflict,
                 fmt::format("the stream has {} dead letters of {} bytes, and may have {} of {} "
                             "bytes: redrive or delete them, then restart the stream",
                             before.count, before.bytes, limits_.count_max, limits_.bytes_max)};
  }
  if (auto committed = transaction->commit(); !committed) return ours(committed.error());
  note(stream, *size);
  return {};
}

Result<void> SqliteDeadLetters::insert(StreamId stream, std::span<const DeadLetter> letters) {
  Result<Statement> statement = database_.prepare(
      "INSERT OR REPLACE INTO letter (stream_id, record_offset, kind, parked_ms, reason, status, "
      "marked, columns, bytes, record) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?)");
  if (!statement) return statement.error();
  for (const DeadLetter& letter : letters) {
    const Result<void> done = statement->bind(sql_id(stream))
                                  .bind(sql_offset(letter.offset))
                                  .bind(static_cast<std::int64_t>(letter.kind))
                                  .bind(letter.parked.ms)
                                  .bind(letter.reason)
                                  .bind_or_null(letter.status)
                                  .bind(text_of(letter.columns))
                                  .bind(static_cast<std::int64_t>(letter.record.size()))
                                  .bind(letter.record)
                                  .run();
    if (!done) return done;
  }
  return {};
}

Result<void> SqliteDeadLetters::keep_state(const State& state) {
  Result<Statement> statement =
      database_.prepare("INSERT OR REPLACE INTO state (key, bytes) VALUES (?, ?)");
  if (!statement) return statement.error();
  return statement->bind(sql_id(state.key)).bind(state.bytes).run();
}

Result<std::vector<DeadLetters::State>> SqliteDeadLetters::states() {
  const MutexLock lock(mutex_);
  auto found =
      read_rows<State>(database_.prepare("SELECT key, bytes FROM state"), [](const Statement& row) {
        return State{StreamId{static_cast<std::uint64_t>(row.integer(0))}, row.text(1)};
      });
  if (!found) return ours(found.error());
  return found;
}

Result<DeadLetters::Page> SqliteDeadLetters::list(StreamId stream, Offset from,
                                                  std::uint32_t limit) {
  const MutexLock lock(mutex_);
  return read_page(database_.prepare(fmt::format("SELECT {} FROM letter WHERE stream_id = ? AND "
                                                 "record_offset >= ? ORDER BY record_offset",
                                                 kLetterColumns)),
                   stream, from, limit);
}

Result<DeadLetters::Page> SqliteDeadLetters::marked(StreamId stream, Offset from,
                                                    std::uint32_t limit) {
  const MutexLock lock(mutex_);
  return read_page(
      database_.prepare(fmt::format("SELECT {} FROM letter WHERE stream_id = ? AND "
                                    "record_offset >= ? AND marked = 1 ORDER BY record_offset",
                                    kLetterColumns)),
      stream, from, limit);
}

Result<DeadLetters::Page> SqliteDeadLetters::read_page(Result<Statement> query, StreamId stream,
                                                       Offset from, std::uint32_t limit) {
  if (!query) return ours(query.error());
  query->bind(sql_id(stream)).bind(sql_offset(from));
  Page page;
  std::uint64_t bytes = 0;
  for (;;) {
    const Result<bool> row = query->step();
    if (!row) return ours(row.error());
    if (!*row) return page;
    if (page.letters.size() == limit || bytes >= kPageBytesMax) {
      page.more = true;
      return page;
    }
    page.letters.push_back(letter_of(*query));
    bytes += page.letters.back().record.size();
  }
}

Result<void> SqliteDeadLetters::set_mark(StreamId stream,
                                         const std::optional<std::vector<Offset>>& offsets) {
  Result<Statement> statement = database_.prepare(
      offsets ? "UPDATE letter SET marked = 1 WHERE stream_id = ? AND record_offset = ?"
              : "UPDATE letter SET marked = 1 WHERE stream_id = ?");
  if (!statement) return statement.error();
  if (!offsets) return statement->bind(sql_id(stream)).run();
  for (const Offset offset : *offsets) {
    if (auto done = statement->bind(sql_id(stream)).bind(sql_offset(offset)).run(); !done) {
      return done;
    }
    if (database_.changes() == 0) {
      return Error{ErrorCode::NotFound,
                   fmt::format("the stream has no dead letter at offset {}", offset.value())};
    }
  }
  return {};
}

Result<DeadLetters::Marked> SqliteDeadLetters::mark(
    StreamId stream, const std::optional<std::vector<Offset>>& offsets) {
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return ours(transaction.error());
  Result<Statement> clear = database_.prepare("UPDATE letter SET marked = 0 WHERE stream_id = ?");
  if (!clear) return ours(clear.error());
  if (auto done = clear->bind(sql_id(stream)).run(); !done) return ours(done.error());
  if (auto done = set_mark(stream, offsets); !done) {
    return done.error().code == ErrorCode::NotFound ? done.error() : ours(done.error());
  }
  Result<Statement> query = database_.prepare(
      "SELECT count(*), coalesce(min(record_offset), 0), coalesce(max(record_offset), 0) "
      "FROM letter WHERE stream_id = ? AND marked = 1");
  if (!query) return ours(query.error());
  const Result<bool> row = query->bind(sql_id(stream)).step();
  if (!row) return ours(row.error());
  const auto number = [&](int column) {
    return static_cast<std::uint64_t>(query->integer(column));
  };
  const Marked marked{number(0), Offset{number(1)}, Offset{number(2)}};
  if (auto committed = transaction->commit(); !committed) return ours(committed.error());
  return marked;
}

Result<void> SqliteDeadLetters::unmark(StreamId stream) {
  const MutexLock lock(mutex_);
  Result<Statement> clear =
      database_.prepare("UPDATE letter SET marked = 0 WHERE stream_id = ? AND marked = 1");
  if (!clear) return ours(clear.error());
  if (auto done = clear->bind(sql_id(stream)).run(); !done) return ours(done.error());
  return {};
}

Result<std::uint64_t> SqliteDeadLetters::erase(StreamId stream,
                                               const std::optional<std::vector<Offset>>& offsets) {
  std::uint64_t removed = 0;
  Result<Statement> statement =
      database_.prepare(offsets ? "DELETE FROM letter WHERE stream_id = ? AND record_offset = ?"
                                : "DELETE FROM letter WHERE stream_id = ?");
  if (!statement) return statement.error();
  if (!offsets) {
    if (auto done = statement->bind(sql_id(stream)).run(); !done) return done.error();
    return static_cast<std::uint64_t>(database_.changes());
  }
  for (const Offset offset : *offsets) {
    const auto done = statement->bind(sql_id(stream)).bind(sql_offset(offset)).run();
    if (!done) return done.error();
    removed += static_cast<std::uint64_t>(database_.changes());
  }
  return removed;
}

Result<std::uint64_t> SqliteDeadLetters::remove(StreamId stream,
                                                const std::optional<std::vector<Offset>>& offsets) {
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return ours(transaction.error());
  const Result<std::uint64_t> removed = erase(stream, offsets);
  if (!removed) return ours(removed.error());
  const Result<Size> size = size_in_file(stream);
  if (!size) return ours(size.error());
  if (auto committed = transaction->commit(); !committed) return ours(committed.error());
  note(stream, *size);
  return *removed;
}

Result<void> SqliteDeadLetters::forget(StreamId key) {
  const MutexLock lock(mutex_);
  return erase_all(key);
}

Result<void> SqliteDeadLetters::erase_all(StreamId key) {
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return ours(transaction.error());
  if (auto erased = erase(key, std::nullopt); !erased) return ours(erased.error());
  Result<Statement> statement = database_.prepare("DELETE FROM state WHERE key = ?");
  if (!statement) return ours(statement.error());
  if (auto done = statement->bind(sql_id(key)).run(); !done) return ours(done.error());
  if (auto committed = transaction->commit(); !committed) return ours(committed.error());
  note(key, {});
  return {};
}

Result<void> SqliteDeadLetters::keep_only(std::span<const StreamId> keys) {
  const MutexLock lock(mutex_);
  const auto known = read_rows<StreamId>(
      database_.prepare("SELECT key FROM state UNION SELECT stream_id FROM letter"),
      [](const Statement& row) { return StreamId{static_cast<std::uint64_t>(row.integer(0))}; });
  if (!known) return ours(known.error());
  for (const StreamId key : *known) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    if (auto done = erase_all(key); !done) return done;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<DeadLetters>> open_dead_letters(const std::string& path,
                                                       DeadLetters::Limits limits,
                                                       Metrics& metrics) {
  Result<Database> database = open_own_file(path, kFile);
  if (!database) return database.error();
  auto letters = std::make_unique<SqliteDeadLetters>(*std::move(database), limits, metrics);
  if (auto loaded = letters->load_sizes(); !loaded) return loaded.error();
  return std::unique_ptr<DeadLetters>(std::move(letters));
}

}  // namespace sluice::catalog
