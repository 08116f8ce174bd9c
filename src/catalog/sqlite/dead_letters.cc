// Dead letters on SQLite, in a file of their own: 100 MiB a stream shall not swell the catalog. One
// connection behind a mutex.

#include "catalog/dead_letters.h"

#include <fmt/format.h>

#include <algorithm>
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
    record_id INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    parked_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    status INTEGER,
    bytes INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (stream_id, record_offset)
  );
  -- Sizes are summed up over this alone, whatever the records weigh.
  CREATE INDEX letter_sizes ON letter (stream_id, bytes);
  CREATE TABLE state (
    stream_id INTEGER PRIMARY KEY,
    bytes TEXT NOT NULL
  );
)sql",
                           .room = Database::Room::OfReserve};

Error ours(Error error) { return renamed(std::move(error), kFile.name); }

std::int64_t sql_offset(Offset offset) { return static_cast<std::int64_t>(offset.value()); }

DeadLetter letter_of(const Statement& row) {
  return {.offset = Offset{static_cast<std::uint64_t>(row.integer(0))},
          .record_id = row.integer(1),
          .kind = static_cast<Kind>(row.integer(2)),
          .parked = WallTime{row.integer(3)},
          .reason = row.text(4),
          .status = row.optional_int(5),
          .record = row.text(6)};
}

class SqliteDeadLetters final : public DeadLetters {
 public:
  SqliteDeadLetters(Database database, Limits limits)
      : limits_(limits), database_(std::move(database)) {}

  Result<void> load_sizes();
  Result<void> park(StreamId stream, std::span<const DeadLetter> letters,
                    std::string_view state) override;
  Result<std::vector<State>> states() override;
  Result<Page> list(StreamId stream, Offset from, std::uint32_t limit) override;
  Result<std::uint64_t> remove(StreamId stream,
                               const std::optional<std::vector<Offset>>& offsets) override;
  Result<void> forget(StreamId stream) override;
  Result<void> keep_only(std::span<const StreamId> streams) override;
  std::uint64_t count(StreamId stream) const override;

 private:
  struct Size {
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
  };
  Result<Size> size_in_file(StreamId stream) SLUICE_REQUIRES(mutex_);
  Result<void> insert(StreamId stream, std::span<const DeadLetter> letters) SLUICE_REQUIRES(mutex_);
  Result<void> keep_state(StreamId stream, std::string_view state) SLUICE_REQUIRES(mutex_);
  Result<std::uint64_t> erase(StreamId stream, const std::optional<std::vector<Offset>>& offsets)
      SLUICE_REQUIRES(mutex_);
  Result<void> erase_all(StreamId stream) SLUICE_REQUIRES(mutex_);
  void note(StreamId stream, Size size);
  Size size(StreamId stream) const;

  const Limits limits_;
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

void SqliteDeadLetters::note(StreamId stream, Size size) {
  const MutexLock lock(sizes_mutex_);
  if (size.count == 0) {
    sizes_.erase(stream);
  } else {
    sizes_[stream] = size;
  }
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
                                     std::string_view state) {
  const Size before = size(stream);
  std::uint64_t bytes = before.bytes;
  for (const DeadLetter& letter : letters) bytes += letter.record.size();
  if (before.count + letters.size() > limits_.count_max || bytes > limits_.bytes_max) {
    return Error{ErrorCode::Conflict,
                 fmt::format("the stream has {} dead letters of {} bytes, and may have {} of {} "
                             "bytes: redrive or delete them, then restart the stream",
                             before.count, before.bytes, limits_.count_max, limits_.bytes_max)};
  }
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return ours(transaction.error());
  if (auto inserted = insert(stream, letters); !inserted) return ours(inserted.error());
  if (auto kept = keep_state(stream, state); !kept) return ours(kept.error());
  // Some may have been there before.
  const Result<Size> size = size_in_file(stream);
  if (!size) return ours(size.error());
  if (auto committed = transaction->commit(); !committed) return ours(committed.error());
  note(stream, *size);
  return {};
}

Result<void> SqliteDeadLetters::insert(StreamId stream, std::span<const DeadLetter> letters) {
  Result<Statement> statement = database_.prepare(
      "INSERT OR REPLACE INTO letter (stream_id, record_offset, record_id, kind, parked_ms, "
      "reason, status, bytes, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!statement) return statement.error();
  for (const DeadLetter& letter : letters) {
    const Result<void> done = statement->bind(sql_id(stream))
                                  .bind(sql_offset(letter.offset))
                                  .bind(letter.record_id)
                                  .bind(static_cast<std::int64_t>(letter.kind))
                                  .bind(letter.parked.ms)
                                  .bind(letter.reason)
                                  .bind_or_null(letter.status)
                                  .bind(static_cast<std::int64_t>(letter.record.size()))
                                  .bind(letter.record)
                                  .run();
    if (!done) return done;
  }
  return {};
}

Result<void> SqliteDeadLetters::keep_state(StreamId stream, std::string_view state) {
  Result<Statement> statement =
      database_.prepare("INSERT OR REPLACE INTO state (stream_id, bytes) VALUES (?, ?)");
  if (!statement) return statement.error();
  return statement->bind(sql_id(stream)).bind(state).run();
}

Result<std::vector<DeadLetters::State>> SqliteDeadLetters::states() {
  const MutexLock lock(mutex_);
  auto found = read_rows<State>(
      database_.prepare("SELECT stream_id, bytes FROM state"), [](const Statement& row) {
        return State{StreamId{static_cast<std::uint64_t>(row.integer(0))}, row.text(1)};
      });
  if (!found) return ours(found.error());
  return found;
}

Result<DeadLetters::Page> SqliteDeadLetters::list(StreamId stream, Offset from,
                                                  std::uint32_t limit) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(
      "SELECT record_offset, record_id, kind, parked_ms, reason, status, record FROM letter "
      "WHERE stream_id = ? AND record_offset >= ? ORDER BY record_offset");
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

Result<void> SqliteDeadLetters::forget(StreamId stream) {
  const MutexLock lock(mutex_);
  return erase_all(stream);
}

Result<void> SqliteDeadLetters::erase_all(StreamId stream) {
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return ours(transaction.error());
  if (auto erased = erase(stream, std::nullopt); !erased) return ours(erased.error());
  Result<Statement> statement = database_.prepare("DELETE FROM state WHERE stream_id = ?");
  if (!statement) return ours(statement.error());
  if (auto done = statement->bind(sql_id(stream)).run(); !done) return ours(done.error());
  if (auto committed = transaction->commit(); !committed) return ours(committed.error());
  note(stream, {});
  return {};
}

Result<void> SqliteDeadLetters::keep_only(std::span<const StreamId> streams) {
  const MutexLock lock(mutex_);
  const auto known = read_rows<StreamId>(
      database_.prepare("SELECT stream_id FROM state UNION SELECT stream_id FROM letter"),
      [](const Statement& row) { return StreamId{static_cast<std::uint64_t>(row.integer(0))}; });
  if (!known) return ours(known.error());
  for (const StreamId stream : *known) {
    if (std::find(streams.begin(), streams.end(), stream) != streams.end()) continue;
    if (auto done = erase_all(stream); !done) return done;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<DeadLetters>> open_dead_letters(const std::string& path,
                                                       DeadLetters::Limits limits) {
  Result<Database> database = open_own_file(path, kFile);
  if (!database) return database.error();
  auto letters = std::make_unique<SqliteDeadLetters>(*std::move(database), limits);
  if (auto loaded = letters->load_sizes(); !loaded) return loaded.error();
  return std::unique_ptr<DeadLetters>(std::move(letters));
}

}  // namespace sluice::catalog
