// The catalog on SQLite: one connection behind a mutex, which is the queue that Catalog promises.
// Nothing here is hot: a statement is prepared for each call.

#include "catalog/catalog.h"

#include <fmt/format.h>

#include <tuple>
#include <utility>

#include "base/logging.h"
#include "base/mutex.h"
#include "catalog/places.h"
#include "catalog/sqlite/database.h"
#include "catalog/sqlite/rows.h"

namespace sluice::catalog {
namespace {

constexpr std::string_view kStreamColumns =
    "id, organisation_id, name, type, destination, delivery, relation_resolution, historic, "
    "status, status_before_pause, last_error, remote_status, start_offset, revision, created_ms, "
    "updated_ms, filters, labels, filter_revision, render_revision, settings_revision, "
    "destination_revision, applied_revision, failing_s, park_to, "
    "replaces, handed_cursor, doubt_first, doubt_last, replaced_by, closed_ms";

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
  stream.destination_revision = static_cast<std::uint32_t>(row.integer(21));
  stream.applied_revision = static_cast<std::uint32_t>(row.integer(22));
  stream.failing_s = static_cast<std::uint32_t>(row.integer(23));
  stream.park_to = optional_id<Offset>(row, 24);
  if (const auto from = optional_id<StreamId>(row, 25)) {
    stream.hand_over = {*from, Offset{static_cast<std::uint64_t>(row.integer(26))}, {}};
    const auto first = optional_id<Offset>(row, 27);
    const auto last = optional_id<Offset>(row, 28);
    if (first && last) stream.hand_over->in_doubt = {*first, *last};
  }
  stream.replaced_by = optional_id<StreamId>(row, 29);
  stream.closed = WallTime{row.integer(30)};
  return stream;
}

Error no_such_stream(StreamId id) {
  return {ErrorCode::NotFound, fmt::format("stream {} does not exist", id.value())};
}

class SqliteCatalog final : public Catalog {
 public:
  SqliteCatalog(Database database, const SecretBox& secrets, std::size_t streams_max)
      : streams_max_(streams_max), database_(std::move(database)), secrets_(secrets) {}

  Result<void> register_organisations(std::span<const Organisation> organisations) override;
  Result<std::vector<Organisation>> organisations() override;
  Result<std::optional<Organisation>> organisation(OrganisationId id) override;
  Result<Stream> create_stream(Stream stream, WallTime now) override;
  Result<std::vector<Stream>> streams(OrganisationId organisation) override;
  Result<std::vector<Stream>> all_streams() override;
  Result<std::optional<Stream>> stream(OrganisationId organisation, StreamId id) override;
  Result<std::optional<Stream>> stream(StreamId id) override;
  Result<Stream> change_stream(OrganisationId organisation, StreamId id, const StreamChange& change,
                               WallTime now) override;
  Result<void> update_stream(const Stream& stream, WallTime now) override;
  Result<void> delete_stream(OrganisationId organisation, StreamId id) override;

 private:
  // Closes the stream that `stream` takes over from.
  Result<void> close_former(const Stream& stream, WallTime now) SLUICE_REQUIRES(mutex_);
  Result<void> check_room(OrganisationId organisation) SLUICE_REQUIRES(mutex_);
  Result<std::optional<Stream>> read_stream(std::optional<OrganisationId> organisation, StreamId id)
      SLUICE_REQUIRES(mutex_);
  // The row that `query`, an UPDATE .. RETURNING, changed; NotFound.
  Result<Stream> changed_stream(Statement query, StreamId id) SLUICE_REQUIRES(mutex_);

  std::string seal(const Stream& stream, std::string_view destination) const;
  // The stream with its destination in clear.
  Stream opened(Stream stream) const;
  Result<std::vector<Stream>> read_streams(Result<Statement> query) SLUICE_REQUIRES(mutex_);

  Mutex mutex_;
  const std::size_t streams_max_;  // of an organisation
  Database database_ SLUICE_GUARDED_BY(mutex_);
  const SecretBox secrets_;
};

std::string place_of(const Stream& stream) {
  return destination_place(stream.organisation.value(), std::to_string(stream.id.value()));
}

std::string SqliteCatalog::seal(const Stream& stream, std::string_view destination) const {
  return secrets_.seal(destination, place_of(stream));
}

Stream SqliteCatalog::opened(Stream stream) const {
  Result<std::string> destination = secrets_.open(stream.destination, place_of(stream));
  if (!destination) {
    logging::error("a stream's destination cannot be read",
                   {{"stream", stream.id.value()}, {"error", destination.error().message}});
  }
  stream.destination = destination ? *std::move(destination) : "{}";
  return stream;
}

Result<std::vector<Stream>> SqliteCatalog::read_streams(Result<Statement> query) {
  Result<std::vector<Stream>> streams = read_rows(std::move(query), &stream_of);
  if (!streams) return streams;
  for (Stream& stream : *streams) stream = opened(std::move(stream));
  return streams;
}

Result<void> SqliteCatalog::register_organisations(std::span<const Organisation> organisations) {
  for (const Organisation& organisation : organisations) {
    if (organisation.id.value() > kIdMax) return id_too_large(organisation.id);
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
  return read_rows(database_.prepare(fmt::format("SELECT {} FROM organisations ORDER BY id",
                                                 kOrganisationColumns)),
                   &organisation_of);
}

Result<std::optional<Organisation>> SqliteCatalog::organisation(OrganisationId id) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(
      fmt::format("SELECT {} FROM organisations WHERE id = ?", kOrganisationColumns));
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(id)).step();
  if (!row) return row.error();
  if (!*row) return std::optional<Organisation>();
  return std::optional(organisation_of(*query));
}

Result<void> SqliteCatalog::check_room(OrganisationId organisation) {
  Result<Statement> query = database_.prepare(
      "SELECT (SELECT count(*) FROM organisations WHERE id = ?1), "
      "(SELECT count(*) FROM streams WHERE organisation_id = ?1 AND replaced_by IS NULL)");
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(organisation)).step();
  if (!row) return row.error();
  if (query->integer(0) == 0) {
    return no_such_organisation(organisation);
  }
  if (query->integer(1) >= static_cast<std::int64_t>(streams_max_)) {
    return Error{ErrorCode::ResourceExhausted,
                 fmt::format("organisation {} has {} streams already, the most it may have: "
                             "delete one first",
                             organisation.value(), streams_max_)};
  }
  return {};
}

// To nobody yet: the new stream's id follows.
Result<void> SqliteCatalog::close_former(const Stream& stream, WallTime now) {
  if (!stream.hand_over) return {};
  Result<Statement> update = database_.prepare(
      "UPDATE streams SET status = ?, replaced_by = 0, closed_ms = ?, updated_ms = ? WHERE id = ? "
      "AND organisation_id = ? AND type = ? AND replaced_by IS NULL AND status <> ?");
  if (!update) return update.error();
  const Result<void> done = update->bind(static_cast<std::int64_t>(StreamStatus::Paused))
                                .bind(now.ms)
                                .bind(now.ms)
                                .bind(sql_id(stream.hand_over->from))
                                .bind(sql_id(stream.organisation))
                                .bind(std::int64_t{stream.type})
                                .bind(static_cast<std::int64_t>(StreamStatus::Disabled))
                                .run();
  if (!done) return done.error();
  if (database_.changes() == 1) return {};
  return Error{ErrorCode::Conflict, fmt::format("stream {} is gone, disabled or replaced by now",
                                                stream.hand_over->from.value())};
}

Result<Stream> SqliteCatalog::create_stream(Stream stream, WallTime now) {
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return transaction.error();
  if (auto closed = close_former(stream, now); !closed) return closed.error();
  const Result<void> room = check_room(stream.organisation);
  if (!room) return room.error();
  Result<Statement> insert = database_.prepare(
      "INSERT INTO streams (organisation_id, name, type, destination, delivery, "
      "relation_resolution, historic, status, status_before_pause, last_error, remote_status, "
      "start_offset, revision, created_ms, updated_ms, filters, labels, replaces, handed_cursor, "
      "doubt_first, doubt_last) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!insert) return insert.error();
  std::optional<StreamId> from;
  std::optional<Offset> cursor, doubt_first, doubt_last;
  if (const auto& hand_over = stream.hand_over) {
    from = hand_over->from;
    cursor = hand_over->cursor;
    if (hand_over->in_doubt) std::tie(doubt_first, doubt_last) = *hand_over->in_doubt;
  }
  const Result<void> done = insert->bind(sql_id(stream.organisation))
                                .bind(stream.name)
                                .bind(std::int64_t{stream.type})
                                .bind("")  // sealed for the id that it gets now
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
                                .bind_or_null(sql_or_null(from))
                                .bind_or_null(sql_or_null(cursor))
                                .bind_or_null(sql_or_null(doubt_first))
                                .bind_or_null(sql_or_null(doubt_last))
                                .run();
  if (!done) return done.error();
  stream.id = StreamId{static_cast<std::uint64_t>(database_.last_insert_id())};
  Result<Statement> update = database_.prepare("UPDATE streams SET destination = ? WHERE id = ?");
  if (!update) return update.error();
  const Result<void> sealed =
      update->bind(seal(stream, stream.destination)).bind(sql_id(stream.id)).run();
  if (!sealed) return sealed.error();
  if (from) {
    Result<Statement> name = database_.prepare("UPDATE streams SET replaced_by = ? WHERE id = ?");
    if (!name) return name.error();
    const Result<void> named = name->bind(sql_id(stream.id)).bind(sql_id(*from)).run();
    if (!named) return named.error();
  }
  stream.created = stream.updated = now;
  const Result<void> committed = transaction->commit();
  if (!committed) return committed.error();
  return stream;
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
  return read_stream(organisation, id);
}

Result<std::optional<Stream>> SqliteCatalog::stream(StreamId id) {
  const MutexLock lock(mutex_);
  return read_stream(std::nullopt, id);
}

Result<std::optional<Stream>> SqliteCatalog::read_stream(std::optional<OrganisationId> organisation,
                                                         StreamId id) {
  Result<Statement> query =
      database_.prepare(fmt::format("SELECT {} FROM streams WHERE id = ? "
                                    "AND organisation_id = coalesce(?, organisation_id)",
                                    kStreamColumns));
  if (!query) return query.error();
  query->bind(sql_id(id)).bind_or_null(sql_or_null(organisation));
  const Result<bool> row = query->step();
  if (!row) return row.error();
  if (!*row) return std::optional<Stream>();
  return std::optional(opened(stream_of(*query)));
}

Result<Stream> SqliteCatalog::changed_stream(Statement query, StreamId id) {
  const Result<bool> row = query.step();
  if (!row) return row.error();
  if (!*row) return no_such_stream(id);
  Stream stream = opened(stream_of(query));
  // The change is committed when the statement has run to its end.
  const Result<bool> end = query.step();
  if (!end) return end.error();
  return stream;
}

Result<Stream> SqliteCatalog::change_stream(OrganisationId organisation, StreamId id,
                                            const StreamChange& change, WallTime now) {
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return transaction.error();
  const Result<std::optional<Stream>> present = read_stream(organisation, id);
  if (!present) return present.error();
  if (!*present) return no_such_stream(id);
  if (change.expected_revision.value_or((*present)->settings_revision) !=
      (*present)->settings_revision) {
    return Error{ErrorCode::Conflict,
                 fmt::format("stream {} was changed at the same moment: look at it and try again",
                             id.value())};
  }
  std::optional<std::string> destination;  // if it differs
  if (change.destination && *change.destination != (*present)->destination) {
    destination = seal(**present, *change.destination);
  }
  Result<Statement> query = database_.prepare(
      fmt::format("UPDATE streams SET name = coalesce(?, name), "
                  "relation_resolution = coalesce(?, relation_resolution), "
                  "filter_revision = filter_revision + (filters <> coalesce(?3, filters)), "
                  "filters = coalesce(?3, filters), "
                  "destination_revision = iif(?4 IS NULL, destination_revision, "
                  "settings_revision + 1), "
                  "destination = coalesce(?4, destination), "
                  "delivery = coalesce(?, delivery), labels = coalesce(?, labels), "
                  "render_revision = render_revision + ?, "
                  "settings_revision = settings_revision + 1, updated_ms = ? "
                  "WHERE id = ? RETURNING {}",
                  kStreamColumns));
  if (!query) return query.error();
  query->bind_or_null(change.name)
      .bind_or_null(change.relation_resolution)
      .bind_or_null(change.filters)
      .bind_or_null(destination)
      .bind_or_null(change.delivery)
      .bind_or_null(change.labels)
      .bind(std::int64_t{change.new_rendering})
      .bind(now.ms)
      .bind(sql_id(id));
  Result<Stream> changed = changed_stream(*std::move(query), id);
  if (!changed) return changed;
  const Result<void> committed = transaction->commit();
  if (!committed) return committed.error();
  return changed;
}

// Kept prepared: every stream comes here soon after its first delivery.
Result<void> SqliteCatalog::update_stream(const Stream& stream, WallTime now) {
  const MutexLock lock(mutex_);
  const Result<Statement*> update = database_.kept(
      "UPDATE streams SET status = ?, status_before_pause = ?, last_error = ?, "
      "remote_status = ?, start_offset = ?, park_to = ?, revision = ?, applied_revision = ?, "
      "failing_s = ?, "
      // Never the same row: SQLite would write nothing, and a change before that failed, whose
      // bytes may be in its log, could come true after a crash.
      "updated_ms = ? + (updated_ms = ?) WHERE id = ? AND organisation_id = ?");
  if (!update) return update.error();
  const Result<void> done = (*update)
                                ->bind(static_cast<std::int64_t>(stream.status))
                                .bind(static_cast<std::int64_t>(stream.status_before_pause))
                                .bind(stream.last_error)
                                .bind_or_null(stream.remote_status)
                                .bind(static_cast<std::int64_t>(stream.start.value()))
                                .bind_or_null(sql_or_null(stream.park_to))
                                .bind(std::int64_t{stream.revision})
                                .bind(std::int64_t{stream.applied_revision})
                                .bind(std::int64_t{stream.failing_s})
                                .bind(now.ms)
                                .bind(now.ms)
                                .bind(sql_id(stream.id))
                                .bind(sql_id(stream.organisation))
                                .run();
  if (!done) return done.error();
  if (database_.changes() == 0) return no_such_stream(stream.id);
  return {};
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

}  // namespace

Result<std::unique_ptr<Catalog>> open_sqlite(const std::string& path, const SecretBox& secrets,
                                             std::size_t streams_per_organisation_max) {
  Result<Database> database = open_database(path);
  if (!database) return database.error();
  return std::unique_ptr<Catalog>(
      std::make_unique<SqliteCatalog>(*std::move(database), secrets, streams_per_organisation_max));
}

}  // namespace sluice::catalog
