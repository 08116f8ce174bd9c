// The catalog on SQLite: one connection behind a mutex, which is the queue that Catalog promises.
// Nothing here is hot: a statement is prepared for each call.

#include "catalog/catalog.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "catalog/sqlite/database.h"
#include "catalog/sqlite/migrations.h"

namespace sluice::catalog {
namespace {

constexpr std::int64_t kApplicationId = 0x534c4331;  // "SLC1", in the file's header

constexpr std::string_view kStreamColumns =
    "id, organisation_id, name, type, destination, delivery, relation_resolution, historic, "
    "status, status_before_pause, last_error, remote_status, start_offset, revision, created_ms, "
    "updated_ms, filters, labels, filter_revision, render_revision, settings_revision";

Stream stream_of(const Statement& row) {
  Stream stream;
  stream.id = StreamId{static_cast<std::uint64_t>(row.integer(0))};
  stream.organisation = OrganisationId{static_cast<std::uint64_t>(row.integer(1))};
  stream.name = row.text(2);
  stream.type = static_cast<std::uint32_t>(row.integer(3));
  stream.destination = row.text(4);
  stream.delivery = row.text(5);
  stream.relation_resolution = row.text(6);
  stream.historic = row.integer(7) != 0;
  stream.status = static_cast<StreamStatus>(row.integer(8));
  stream.status_before_pause = static_cast<StreamStatus>(row.integer(9));
  stream.last_error = row.text(10);
  stream.remote_status = row.optional_int(11);
  stream.start = Offset{static_cast<std::uint64_t>(row.integer(12))};
  stream.revision = static_cast<std::uint32_t>(row.integer(13));
  stream.created = WallTime{row.integer(14)};
  stream.updated = WallTime{row.integer(15)};
  stream.filters = row.text(16);
  stream.labels = row.text(17);
  stream.filter_revision = static_cast<std::uint32_t>(row.integer(18));
  stream.render_revision = static_cast<std::uint32_t>(row.integer(19));
  stream.settings_revision = static_cast<std::uint32_t>(row.integer(20));
  return stream;
}

// Ids above kIdMax belong to nobody: a negative id finds nothing.
template <class Id>
std::int64_t sql_id(Id id) {
  return static_cast<std::int64_t>(id.value());
}

Error no_such_stream(StreamId id) {
  return {ErrorCode::NotFound, fmt::format("stream {} does not exist", id.value())};
}

class SqliteCatalog final : public Catalog {
 public:
  explicit SqliteCatalog(Database database) : database_(std::move(database)) {}

  Result<void> register_organisations(std::span<const Organisation> organisations) override;
  Result<std::vector<Organisation>> organisations() override;
  Result<std::optional<Organisation>> organisation(OrganisationId id) override;
  Result<Stream> create_stream(Stream stream, WallTime now) override;
  Result<std::vector<Stream>> streams(OrganisationId organisation) override;
  Result<std::vector<Stream>> all_streams() override;
  Result<std::optional<Stream>> stream(OrganisationId organisation, StreamId id) override;
  Result<Stream> change_stream(OrganisationId organisation, StreamId id, const StreamChange& change,
                               WallTime now) override;
  Result<Stream> update_stream(const Stream& stream, WallTime now) override;
  Result<void> delete_stream(OrganisationId organisation, StreamId id) override;

 private:
  Result<void> check_room(OrganisationId organisation) SLUICE_REQUIRES(mutex_);
  Result<std::vector<Stream>> read_streams(Result<Statement> query) SLUICE_REQUIRES(mutex_);
  // The row that `query`, an UPDATE .. RETURNING, changed; NotFound.
  Result<Stream> changed_stream(Statement query, StreamId id) SLUICE_REQUIRES(mutex_);

  Mutex mutex_;
  Database database_ SLUICE_GUARDED_BY(mutex_);
};

Result<void> SqliteCatalog::register_organisations(std::span<const Organisation> organisations) {
  for (const Organisation& organisation : organisations) {
    if (organisation.id.value() > kIdMax) {
      return Error{ErrorCode::InvalidArgument, fmt::format("organisation {}: ids go up to {}",
                                                           organisation.id.value(), kIdMax)};
    }
  }
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return transaction.error();
  Result<Statement> insert = database_.prepare(
      "INSERT INTO organisations (id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE "
      "SET name = excluded.name WHERE organisations.name = '' AND excluded.name <> ''");
  if (!insert) return insert.error();
  for (const Organisation& organisation : organisations) {
    const Result<void> done = insert->bind(sql_id(organisation.id)).bind(organisation.name).run();
    if (!done) return done.error();
  }
  return transaction->commit();
}

Result<std::vector<Organisation>> SqliteCatalog::organisations() {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare("SELECT id, name FROM organisations ORDER BY id");
  if (!query) return query.error();
  std::vector<Organisation> found;
  for (;;) {
    const Result<bool> row = query->step();
    if (!row) return row.error();
    if (!*row) return found;
    found.push_back(
        {OrganisationId{static_cast<std::uint64_t>(query->integer(0))}, query->text(1)});
  }
}

Result<std::optional<Organisation>> SqliteCatalog::organisation(OrganisationId id) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare("SELECT name FROM organisations WHERE id = ?");
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(id)).step();
  if (!row) return row.error();
  if (!*row) return std::optional<Organisation>();
  return std::optional(Organisation{id, query->text(0)});
}

Result<void> SqliteCatalog::check_room(OrganisationId organisation) {
  Result<Statement> query = database_.prepare(
      "SELECT (SELECT count(*) FROM organisations WHERE id = ?1), "
      "(SELECT count(*) FROM streams WHERE organisation_id = ?1)");
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(organisation)).step();
  if (!row) return row.error();
  if (query->integer(0) == 0) {
    return Error{ErrorCode::NotFound,
                 fmt::format("organisation {} does not exist", organisation.value())};
  }
  if (query->integer(1) >= static_cast<std::int64_t>(kStreamsPerOrganisationMax)) {
    return Error{ErrorCode::ResourceExhausted,
                 fmt::format("organisation {} has {} streams already, the most it may have: "
                             "delete one first",
                             organisation.value(), kStreamsPerOrganisationMax)};
  }
  return {};
}

Result<Stream> SqliteCatalog::create_stream(Stream stream, WallTime now) {
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return transaction.error();
  const Result<void> room = check_room(stream.organisation);
  if (!room) return room.error();
  Result<Statement> insert = database_.prepare(
      "INSERT INTO streams (organisation_id, name, type, destination, delivery, "
      "relation_resolution, historic, status, status_before_pause, last_error, remote_status, "
      "start_offset, revision, created_ms, updated_ms, filters, labels) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!insert) return insert.error();
  const Result<void> done = insert->bind(sql_id(stream.organisation))
                                .bind(stream.name)
                                .bind(std::int64_t{stream.type})
                                .bind(stream.destination)
                                .bind(stream.delivery)
                                .bind(stream.relation_resolution)
                                .bind(std::int64_t{stream.historic})
                                .bind(static_cast<std::int64_t>(stream.status))
                                .bind(static_cast<std::int64_t>(stream.status_before_pause))
                                .bind(stream.last_error)
                                .bind_or_null(stream.remote_status)
                                .bind(static_cast<std::int64_t>(stream.start.value()))
                                .bind(std::int64_t{stream.revision})
                                .bind(now.ms)
                                .bind(now.ms)
                                .bind(stream.filters)
                                .bind(stream.labels)
                                .run();
  if (!done) return done.error();
  stream.id = StreamId{static_cast<std::uint64_t>(database_.last_insert_id())};
  stream.created = stream.updated = now;
  const Result<void> committed = transaction->commit();
  if (!committed) return committed.error();
  return stream;
}

Result<std::vector<Stream>> SqliteCatalog::read_streams(Result<Statement> query) {
  if (!query) return query.error();
  std::vector<Stream> found;
  for (;;) {
    const Result<bool> row = query->step();
    if (!row) return row.error();
    if (!*row) return found;
    found.push_back(stream_of(*query));
  }
}

Result<std::vector<Stream>> SqliteCatalog::streams(OrganisationId organisation) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(fmt::format(
      "SELECT {} FROM streams WHERE organisation_id = ? ORDER BY id DESC", kStreamColumns));
  if (query) query->bind(sql_id(organisation));
  return read_streams(std::move(query));
}

Result<std::vector<Stream>> SqliteCatalog::all_streams() {
  const MutexLock lock(mutex_);
  return read_streams(
      database_.prepare(fmt::format("SELECT {} FROM streams ORDER BY id DESC", kStreamColumns)));
}

Result<std::optional<Stream>> SqliteCatalog::stream(OrganisationId organisation, StreamId id) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(
      fmt::format("SELECT {} FROM streams WHERE id = ? AND organisation_id = ?", kStreamColumns));
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(id)).bind(sql_id(organisation)).step();
  if (!row) return row.error();
  if (!*row) return std::optional<Stream>();
  return std::optional(stream_of(*query));
}

Result<Stream> SqliteCatalog::changed_stream(Statement query, StreamId id) {
  const Result<bool> row = query.step();
  if (!row) return row.error();
  if (!*row) return no_such_stream(id);
  Stream stream = stream_of(query);
  // The change is committed when the statement has run to its end.
  const Result<bool> end = query.step();
  if (!end) return end.error();
  return stream;
}

Result<Stream> SqliteCatalog::change_stream(OrganisationId organisation, StreamId id,
                                            const StreamChange& change, WallTime now) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(
      fmt::format("UPDATE streams SET name = coalesce(?, name), "
                  "relation_resolution = coalesce(?, relation_resolution), "
                  "filter_revision = filter_revision + (filters <> coalesce(?3, filters)), "
                  "filters = coalesce(?3, filters), destination = coalesce(?, destination), "
                  "delivery = coalesce(?, delivery), labels = coalesce(?, labels), "
                  "render_revision = render_revision + ?, "
                  "settings_revision = settings_revision + 1, updated_ms = ? "
                  "WHERE id = ? AND organisation_id = ? RETURNING {}",
                  kStreamColumns));
  if (!query) return query.error();
  query->bind_or_null(change.name)
      .bind_or_null(change.relation_resolution)
      .bind_or_null(change.filters)
      .bind_or_null(change.destination)
      .bind_or_null(change.delivery)
      .bind_or_null(change.labels)
      .bind(std::int64_t{change.new_rendering})
      .bind(now.ms)
      .bind(sql_id(id))
      .bind(sql_id(organisation));
  return changed_stream(*std::move(query), id);
}

Result<Stream> SqliteCatalog::update_stream(const Stream& stream, WallTime now) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(fmt::format(
      "UPDATE streams SET status = ?, status_before_pause = ?, last_error = ?, remote_status = ?, "
      "revision = ?, updated_ms = ? WHERE id = ? AND organisation_id = ? RETURNING {}",
      kStreamColumns));
  if (!query) return query.error();
  query->bind(static_cast<std::int64_t>(stream.status))
      .bind(static_cast<std::int64_t>(stream.status_before_pause))
      .bind(stream.last_error)
      .bind_or_null(stream.remote_status)
      .bind(std::int64_t{stream.revision})
      .bind(now.ms)
      .bind(sql_id(stream.id))
      .bind(sql_id(stream.organisation));
  return changed_stream(*std::move(query), stream.id);
}

Result<void> SqliteCatalog::delete_stream(OrganisationId organisation, StreamId id) {
  const MutexLock lock(mutex_);
  Result<Statement> query =
      database_.prepare("DELETE FROM streams WHERE id = ? AND organisation_id = ?");
  if (!query) return query.error();
  const Result<void> done = query->bind(sql_id(id)).bind(sql_id(organisation)).run();
  if (!done) return done.error();
  if (database_.changes() == 0) return no_such_stream(id);
  return {};
}

// SQLite would make the file with the umask's mode; its -wal and -shm take the file's.
Result<void> make_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return Error{ErrorCode::Io, fmt::format("catalog: {}", std::strerror(errno))};
  }
  ::close(descriptor);
  return {};
}

// Changing a new file to WAL wants an exclusive lock and does not wait for it, so two processes
// that open it at the same moment can meet here.
Result<void> use_wal(Database& database) {
  for (int attempt = 1;; ++attempt) {
    Result<void> done = database.execute("PRAGMA journal_mode = WAL");
    if (done || done.error().code != ErrorCode::Unavailable || attempt == 100) return done;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
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

Result<Database> open_database(const std::string& path) {
  const Result<void> made = make_file(path);
  if (!made) return made.error();
  Result<Database> database = Database::open(path);
  if (!database) return database;
  const Result<void> wal = use_wal(*database);
  if (!wal) return wal.error();
  const Result<void> configured =
      database->execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
  if (!configured) return configured.error();
  const Result<void> sound = check_pages(*database);
  if (!sound) return sound.error();
  const Result<void> migrated = migrate(*database);
  if (!migrated) return migrated.error();
  return database;
}

}  // namespace

Result<std::unique_ptr<Catalog>> open_sqlite(const std::string& path) {
  Result<Database> database = open_database(path);
  if (!database) {
    return Error{database.error().code, fmt::format("{}: {}", path, database.error().message)};
  }
  return std::unique_ptr<Catalog>(std::make_unique<SqliteCatalog>(*std::move(database)));
}

}  // namespace sluice::catalog
