// Replays on SQLite: a connection of its own behind a mutex.

#include "catalog/replays.h"

#include <fmt/format.h>

#include <utility>

#include "base/mutex.h"
#include "catalog/sqlite/database.h"
#include "catalog/sqlite/rows.h"

namespace sluice::catalog {
namespace {

constexpr std::string_view kReplayColumns =
    "id, stream_id, of_dead_letters, state, error, from_offset, to_offset, filters, sent, parked, "
    "created_ms, total";

Replay replay_of(const Statement& row) {
  const auto number = [&](int column) { return static_cast<std::uint64_t>(row.integer(column)); };
  Replay replay{.id = ReplayId{number(0)},
                .stream = StreamId{number(1)},
                .of_dead_letters = row.integer(2) != 0,
                .state = static_cast<ReplayState>(row.integer(3)),
                .error = row.text(4),
                .from = Offset{number(5)},
                .to = Offset{number(6)},
                .filters = row.text(7),
                .sent = number(8),
                .parked = number(9),
                .created = WallTime{row.integer(10)}};
  if (row.optional_integer(11)) replay.total = number(11);
  return replay;
}

std::optional<std::int64_t> sql_total(const Replay& replay) {
  if (!replay.total) return std::nullopt;
  return static_cast<std::int64_t>(*replay.total);
}

class SqliteReplays final : public Replays {
 public:
  explicit SqliteReplays(Database database) : database_(std::move(database)) {}

  Result<Replay> create(Replay replay, WallTime now) override;
  Result<std::optional<Replay>> find(StreamId stream, ReplayId id) override;
  Result<std::vector<Replay>> running() override;
  Result<void> update(const Replay& replay) override;

 private:
  Result<void> check_room(StreamId stream) SLUICE_REQUIRES(mutex_);
  Result<void> insert(const Replay& replay) SLUICE_REQUIRES(mutex_);
  Result<void> forget_old(StreamId stream) SLUICE_REQUIRES(mutex_);

  Mutex mutex_;
  Database database_ SLUICE_GUARDED_BY(mutex_);
};

Result<void> SqliteReplays::check_room(StreamId stream) {
  Result<Statement> query = database_.prepare(
      "SELECT (SELECT count(*) FROM streams WHERE id = ?1), "
      "(SELECT max(id) FROM replays WHERE stream_id = ?1 AND state = 1)");
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(stream)).step();
  if (!row) return row.error();
  if (query->integer(0) == 0) {
    return Error{ErrorCode::NotFound, fmt::format("stream {} does not exist", stream.value())};
  }
  if (query->integer(1) != 0) {
    return Error{ErrorCode::Conflict,
                 fmt::format("replay {} of the stream is under way: await its end, or cancel it",
                             query->integer(1))};
  }
  return {};
}

Result<void> SqliteReplays::insert(const Replay& replay) {
  Result<Statement> insert = database_.prepare(
      "INSERT INTO replays (stream_id, of_dead_letters, state, error, from_offset, to_offset, "
      "filters, total, sent, parked, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!insert) return insert.error();
  return insert->bind(sql_id(replay.stream))
      .bind(std::int64_t{replay.of_dead_letters})
      .bind(static_cast<std::int64_t>(replay.state))
      .bind(replay.error)
      .bind(static_cast<std::int64_t>(replay.from.value()))
      .bind(static_cast<std::int64_t>(replay.to.value()))
      .bind(replay.filters)
      .bind_or_null(sql_total(replay))
      .bind(static_cast<std::int64_t>(replay.sent))
      .bind(static_cast<std::int64_t>(replay.parked))
      .bind(replay.created.ms)
      .run();
}

Result<void> SqliteReplays::forget_old(StreamId stream) {
  Result<Statement> forget = database_.prepare(
      "DELETE FROM replays WHERE stream_id = ?1 AND state <> 1 AND id NOT IN "
      "(SELECT id FROM replays WHERE stream_id = ?1 ORDER BY id DESC LIMIT ?2)");
  if (!forget) return forget.error();
  return forget->bind(sql_id(stream)).bind(std::int64_t{kKeptMax}).run();
}

Result<Replay> SqliteReplays::create(Replay replay, WallTime now) {
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return transaction.error();
  if (auto room = check_room(replay.stream); !room) return room.error();
  replay.created = now;
  if (auto inserted = insert(replay); !inserted) return inserted.error();
  replay.id = ReplayId{static_cast<std::uint64_t>(database_.last_insert_id())};
  if (auto forgotten = forget_old(replay.stream); !forgotten) return forgotten.error();
  if (auto committed = transaction->commit(); !committed) return committed.error();
  return replay;
}

Result<std::optional<Replay>> SqliteReplays::find(StreamId stream, ReplayId id) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(
      fmt::format("SELECT {} FROM replays WHERE id = ? AND stream_id = ?", kReplayColumns));
  if (query) query->bind(sql_id(id)).bind(sql_id(stream));
  const Result<std::vector<Replay>> found = read_rows(std::move(query), &replay_of);
  if (!found) return found.error();
  return found->empty() ? std::optional<Replay>() : found->front();
}

Result<std::vector<Replay>> SqliteReplays::running() {
  const MutexLock lock(mutex_);
  return read_rows(
      database_.prepare(fmt::format("SELECT {} FROM replays WHERE state = 1", kReplayColumns)),
      &replay_of);
}

Result<void> SqliteReplays::update(const Replay& replay) {
  const MutexLock lock(mutex_);
  Result<Statement> update = database_.prepare(
      "UPDATE replays SET state = ?, error = ?, from_offset = ?, to_offset = ?, total = ?, "
      "sent = ?, parked = ? WHERE id = ?");
  if (!update) return update.error();
  return update->bind(static_cast<std::int64_t>(replay.state))
      .bind(replay.error)
      .bind(static_cast<std::int64_t>(replay.from.value()))
      .bind(static_cast<std::int64_t>(replay.to.value()))
      .bind_or_null(sql_total(replay))
      .bind(static_cast<std::int64_t>(replay.sent))
      .bind(static_cast<std::int64_t>(replay.parked))
      .bind(sql_id(replay.id))
      .run();
}

}  // namespace

Result<std::unique_ptr<Replays>> open_sqlite_replays(const std::string& path) {
  Result<Database> database = open_database(path);
  if (!database) return database.error();
  return std::unique_ptr<Replays>(std::make_unique<SqliteReplays>(*std::move(database)));
}

}  // namespace sluice::catalog
