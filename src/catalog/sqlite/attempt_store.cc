#include "catalog/sqlite/attempt_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "catalog/sqlite/own_file.h"
#include "catalog/sqlite/rows.h"

namespace sluice::catalog {
namespace {

constexpr int kExchangesAtATime = 50;

// Exchanges lie apart: few attempts have one, and they go sooner. `run`: REPLACE takes a minute as
// it has grown in place of what it was, but never what the process before wrote of that minute.
//
// NORMAL: the file stays whole through a power cut, which may take the newest rows. The size of the
// write-ahead log is cut back after a flood.
constexpr OwnFile kFile = {.name = "attempts log",
                           .application_id = 0x534c4131,  // "SLA1"
                           .schema_version = 1,
                           .configure =
                               "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
                               "PRAGMA journal_size_limit = 8388608",
                           .schema = R"sql(
  CREATE TABLE attempts (
    stream INTEGER NOT NULL,
    number INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    webhook_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    status INTEGER,
    latency_us INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    error TEXT NOT NULL,
    fault INTEGER,
    PRIMARY KEY (stream, number)
  ) WITHOUT ROWID;
  CREATE TABLE exchanges (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    success INTEGER NOT NULL,
    number INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    request_headers TEXT NOT NULL,
    request_body TEXT NOT NULL,
    response_headers TEXT NOT NULL,
    response_body TEXT NOT NULL
  );
  CREATE UNIQUE INDEX exchanges_of_stream ON exchanges (stream, success, number);
  CREATE TABLE minutes (
    stream INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    run INTEGER NOT NULL,
    successes INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    latencies TEXT NOT NULL,
    PRIMARY KEY (stream, minute, run)
  ) WITHOUT ROWID;
  CREATE TABLE runs (run INTEGER PRIMARY KEY AUTOINCREMENT);
)sql"};

// Damage has its remedy here already.
Error ours(Error error) {
  if (error.code == ErrorCode::Corruption) {
    error.message = error.message.substr(0, error.message.rfind(';'));
  }
  return renamed(std::move(error), kFile.name);
}

std::int64_t sql(std::uint64_t value) { return static_cast<std::int64_t>(value); }

Result<std::int64_t> begin_run(Database& database) {
  const Result<void> begun = database.execute("INSERT INTO runs DEFAULT VALUES");
  if (!begun) return begun.error();
  const std::int64_t run = database.last_insert_id();
  const Result<void> cleared = database.execute("DELETE FROM runs");
  if (!cleared) return cleared.error();
  return run;
}

AttemptLog::Numbered attempt_of(const Statement& row) {
  Attempt attempt;
  attempt.time = WallTime{row.integer(1)};
  attempt.webhook_id = row.text(2);
  attempt.number = static_cast<std::uint32_t>(row.integer(3));
  attempt.first = Offset{static_cast<std::uint64_t>(row.integer(4))};
  attempt.last = Offset{static_cast<std::uint64_t>(row.integer(5))};
  attempt.records = static_cast<std::uint64_t>(row.integer(6));
  attempt.bytes = static_cast<std::uint64_t>(row.integer(7));
  attempt.status = row.optional_int(8);
  attempt.latency = std::chrono::microseconds(row.integer(9));
  attempt.outcome = static_cast<AttemptOutcome>(row.integer(10));
  attempt.error = row.text(11);
  if (const auto fault = row.optional_int(12)) attempt.fault = static_cast<Fault>(*fault);
  if (const auto answered = row.optional_int(13)) {
    attempt.exchange = std::make_shared<const Exchange>(
        Exchange{row.text(14), row.text(15), *answered != 0, row.text(16), row.text(17)});
  }
  return {static_cast<std::uint64_t>(row.integer(0)), std::move(attempt)};
}

}  // namespace

AttemptStore::AttemptStore(const AttemptLog::Settings& settings, Database database)
    : attempts_max_(settings.attempts_max),
      successes_max_(settings.successes_max),
      bytes_max_(settings.bytes_max),
      database_(std::move(database)) {}

Result<AttemptStore> AttemptStore::open(const AttemptLog::Settings& settings) {
  Result<Database> database = open_own_file(settings.path, kFile);
  if (!database) return database.error();
  const Result<std::int64_t> run = begin_run(*database);
  if (!run) return ours(run.error());
  AttemptStore store(settings, *std::move(database));
  store.run_ = *run;
  return store;
}

Result<std::uint64_t> AttemptStore::last_number(StreamId stream) {
  if (const auto known = last_numbers_.find(stream); known != last_numbers_.end()) {
    return known->second;
  }
  const Result<std::int64_t> last = database_.integer(fmt::format(
      "SELECT coalesce(max(number), 0) FROM attempts WHERE stream = {}", sql_id(stream)));
  if (!last) return last.error();
  return static_cast<std::uint64_t>(*last);
}

Result<void> AttemptStore::write(std::span<const TakenAttempts> taken) {
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return ours(transaction.error());
  for (const TakenAttempts& each : taken) {
    Result<void> done = insert(each);
    if (done) done = insert_minutes(each);
    if (!done) {
      last_numbers_.clear();  // as they were before
      return ours(done.error());
    }
  }
  Result<void> done = trim_to_size();
  if (done) done = transaction->commit();
  if (done) return {};
  last_numbers_.clear();
  return ours(done.error());
}

Result<void> AttemptStore::insert(const TakenAttempts& taken) {
  if (taken.attempts.empty()) return {};
  const Result<std::uint64_t> last = last_number(taken.stream);
  if (!last) return last.error();
  const Result<Statement*> statement = database_.kept(
      "INSERT INTO attempts (stream, number, time_ms, webhook_id, attempt, first_offset, "
      "last_offset, records, bytes, status, latency_us, outcome, error, fault) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!statement) return statement.error();
  std::uint64_t number = *last;
  for (const Attempt& attempt : taken.attempts) {
    std::optional<std::int64_t> status;
    if (attempt.status) status = *attempt.status;
    std::optional<std::int64_t> fault;
    if (attempt.fault) fault = static_cast<std::int64_t>(*attempt.fault);
    const Result<void> done = (*statement)
                                  ->bind(sql_id(taken.stream))
                                  .bind(sql(++number))
                                  .bind(attempt.time.ms)
                                  .bind(attempt.webhook_id)
                                  .bind(static_cast<std::int64_t>(attempt.number))
                                  .bind(sql_id(attempt.first))
                                  .bind(sql_id(attempt.last))
                                  .bind(sql(attempt.records))
                                  .bind(sql(attempt.bytes))
                                  .bind_or_null(status)
                                  .bind(attempt.latency.count())
                                  .bind(static_cast<std::int64_t>(attempt.outcome))
                                  .bind(attempt.error)
                                  .bind_or_null(fault)
                                  .run();
    if (!done) return done;
    if (attempt.exchange == nullptr) continue;
    if (auto stored = insert_exchange(taken.stream, number, attempt); !stored) return stored;
  }
  last_numbers_[taken.stream] = number;
  return trim(taken.stream, number);
}

Result<void> AttemptStore::insert_exchange(StreamId stream, std::uint64_t number,
                                           const Attempt& attempt) {
  const Result<Statement*> statement = database_.kept(
      "INSERT INTO exchanges (stream, success, number, answered, request_headers, request_body, "
      "response_headers, response_body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  if (!statement) return statement.error();
  const Exchange& exchange = *attempt.exchange;
  return (*statement)
      ->bind(sql_id(stream))
      .bind(std::int64_t{attempt.outcome == AttemptOutcome::Delivered})
      .bind(sql(number))
      .bind(std::int64_t{exchange.answered})
      .bind(exchange.request_headers)
      .bind(exchange.request_body)
      .bind(exchange.response_headers)
      .bind(exchange.response_body)
      .run();
}

Result<void> AttemptStore::insert_minutes(const TakenAttempts& taken) {
  if (taken.minutes.empty()) return {};
  const Result<Statement*> put = database_.kept(
      "REPLACE INTO minutes (stream, minute, run, successes, errors, records, bytes, latencies) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  if (!put) return put.error();
  for (const auto& [minute, sums] : taken.minutes) {
    const Result<void> done = (*put)
                                  ->bind(sql_id(taken.stream))
                                  .bind(minute)
                                  .bind(run_)
                                  .bind(sql(sums.successes))
                                  .bind(sql(sums.errors))
                                  .bind(sql(sums.records))
                                  .bind(sql(sums.bytes))
                                  .bind(sums.latencies.text())
                                  .run();
    if (!done) return done;
  }
  const Result<Statement*> trim =
      database_.kept("DELETE FROM minutes WHERE stream = ? AND minute <= ?");
  if (!trim) return trim.error();
  return (*trim)
      ->bind(sql_id(taken.stream))
      .bind(taken.minutes.back().minute - AttemptLog::kMinutesKept)
      .run();
}

Result<void> AttemptStore::trim(StreamId stream, std::uint64_t last) {
  const std::uint64_t gone = last - std::min<std::uint64_t>(last, attempts_max_);
  for (const std::string_view text :
       {"DELETE FROM attempts WHERE stream = ? AND number <= ?",
        "DELETE FROM exchanges WHERE stream = ? AND success = 0 AND number <= ?"}) {
    const Result<Statement*> trim = database_.kept(text);
    if (!trim) return trim.error();
    const Result<void> done = (*trim)->bind(sql_id(stream)).bind(sql(gone)).run();
    if (!done) return done;
  }
  const Result<Statement*> trim = database_.kept(
      "DELETE FROM exchanges WHERE stream = ?1 AND success = 1 AND number <= max(?2, coalesce("
      "(SELECT number FROM exchanges WHERE stream = ?1 AND success = 1 ORDER BY number DESC "
      "LIMIT 1 OFFSET ?3), 0))");
  if (!trim) return trim.error();
  return (*trim)->bind(sql_id(stream)).bind(sql(gone)).bind(std::int64_t{successes_max_}).run();
}

// Where rows alone are too many, as with very many streams, they stay.
Result<void> AttemptStore::trim_to_size() {
  for (;;) {
    const Result<std::uint64_t> used = bytes();
    if (!used) return used.error();
    if (*used <= bytes_max_) return {};
    const Result<void> removed = database_.execute(
        fmt::format("DELETE FROM exchanges WHERE id IN (SELECT id FROM exchanges ORDER BY id "
                    "LIMIT {})",
                    kExchangesAtATime));
    if (!removed) return removed;
    if (database_.changes() == 0) return {};
  }
}

Result<std::uint64_t> AttemptStore::bytes() {
  const Result<std::int64_t> pages = database_.integer("PRAGMA page_count");
  if (!pages) return pages.error();
  const Result<std::int64_t> free = database_.integer("PRAGMA freelist_count");
  if (!free) return free.error();
  const Result<std::int64_t> page_bytes = database_.integer("PRAGMA page_size");
  if (!page_bytes) return page_bytes.error();
  return static_cast<std::uint64_t>((*pages - *free) * *page_bytes);
}

Result<AttemptLog::Page> AttemptStore::list(StreamId stream, std::optional<std::uint64_t> before,
                                            std::uint32_t limit) {
  Result<Statement> query = database_.prepare(
      "SELECT a.number, a.time_ms, a.webhook_id, a.attempt, a.first_offset, a.last_offset, "
      "a.records, a.bytes, a.status, a.latency_us, a.outcome, a.error, a.fault, x.answered, "
      "x.request_headers, x.request_body, x.response_headers, x.response_body FROM attempts a "
      "LEFT JOIN exchanges x ON x.stream = a.stream AND x.success = (a.outcome = 1) "
      "AND x.number = a.number WHERE a.stream = ? AND a.number < ? ORDER BY a.number DESC");
  if (!query) return ours(query.error());
  query->bind(sql_id(stream))
      .bind(before ? sql(std::min<std::uint64_t>(*before, kIdMax))
                   : std::numeric_limits<std::int64_t>::max());
  AttemptLog::Page page;
  std::uint64_t bytes = 0;
  for (;;) {
    const Result<bool> row = query->step();
    if (!row) return ours(row.error());
    if (!*row) return page;
    if (page.attempts.size() == limit || bytes >= AttemptLog::kPageBytesMax) {
      page.more = true;
      return page;
    }
    page.attempts.push_back(attempt_of(*query));
    const Attempt& attempt = page.attempts.back().second;
    bytes += sizeof(attempt) + (attempt.exchange ? attempt.exchange->bytes() : 0);
  }
}

Result<AttemptSums> AttemptStore::sums(StreamId stream, WallTime since) {
  Result<Statement> query = database_.prepare(
      "SELECT successes, errors, records, bytes, latencies FROM minutes "
      "WHERE stream = ? AND minute >= ?");
  if (!query) return ours(query.error());
  query->bind(sql_id(stream)).bind(since.ms / 60'000);
  AttemptSums sums;
  for (;;) {
    const Result<bool> row = query->step();
    if (!row) return ours(row.error());
    if (!*row) return sums;
    sums.add({static_cast<std::uint64_t>(query->integer(0)),
              static_cast<std::uint64_t>(query->integer(1)),
              static_cast<std::uint64_t>(query->integer(2)),
              static_cast<std::uint64_t>(query->integer(3)), Latencies::read(query->text(4))});
  }
}

Result<void> AttemptStore::forget(StreamId stream) {
  last_numbers_.erase(stream);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return ours(transaction.error());
  Result<void> done =
      database_.execute(fmt::format("DELETE FROM attempts WHERE stream = {0};"
                                    "DELETE FROM exchanges WHERE stream = {0};"
                                    "DELETE FROM minutes WHERE stream = {0}",
                                    sql_id(stream)));
  if (done) done = transaction->commit();
  if (!done) return ours(done.error());
  return {};
}

Result<void> AttemptStore::keep_only(std::span<const StreamId> streams) {
  std::int64_t stream = -1;
  std::vector<StreamId> gone;
  for (;;) {
    Result<std::int64_t> following = database_.integer(
        fmt::format("SELECT coalesce(min(stream), -1) FROM attempts WHERE stream > {}", stream));
    if (!following) return ours(following.error());
    if (*following < 0) break;
    stream = *following;
    const StreamId id{static_cast<std::uint64_t>(stream)};
    if (std::find(streams.begin(), streams.end(), id) == streams.end()) gone.push_back(id);
  }
  for (const StreamId id : gone) {
    if (auto done = forget(id); !done) return done;
  }
  return {};
}

}  // namespace sluice::catalog
