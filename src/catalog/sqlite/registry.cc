// The registry on SQLite: a connection of its own behind a mutex.

#include "catalog/registry.h"

#include <utility>

#include "base/assert.h"
#include "base/mutex.h"
#include "catalog/sqlite/database.h"
#include "catalog/sqlite/rows.h"

namespace sluice::catalog {
namespace {

constexpr std::string_view kTokenColumns =
    "id, organisation_id, name, role, key_id, secret, created_ms";

ApplicationToken token_of(const Statement& row) {
  const std::optional<Role> role = role_from_name(row.text(3));
  return {.id = ApplicationTokenId{static_cast<std::uint64_t>(row.integer(0))},
          .organisation = OrganisationId{static_cast<std::uint64_t>(row.integer(1))},
          .name = row.text(2),
          .role = role.value_or(Role::Viewer),
          .key_id = row.text(4),
          .secret = row.text(5),
          .created = WallTime{row.integer(6)}};
}

class SqliteRegistry final : public Registry {
 public:
  explicit SqliteRegistry(Database database) : database_(std::move(database)) {}

  Result<std::vector<Organisation>> organisations(std::optional<OrganisationId> after,
                                                  std::size_t limit) override;
  Result<Organisation> create_organisation(const Organisation& organisation) override;
  Result<Organisation> change_organisation(OrganisationId id,
                                           const OrganisationChange& change) override;
  Result<ApplicationToken> create_application_token(ApplicationToken token, std::size_t count_max,
                                                    WallTime now) override;
  Result<std::vector<ApplicationToken>> application_tokens(
      std::optional<OrganisationId> organisation, ApplicationTokenId after,
      std::size_t limit) override;
  Result<std::optional<ApplicationToken>> application_token(std::string_view key_id) override;
  Result<ApplicationToken> delete_application_token(std::optional<OrganisationId> organisation,
                                                    ApplicationTokenId id) override;

 private:
  Result<std::optional<Organisation>> find_organisation(OrganisationId id) SLUICE_REQUIRES(mutex_);
  // Conflict where another organisation has what may be had once.
  Result<void> check_unique(const Organisation& organisation) SLUICE_REQUIRES(mutex_);
  Result<void> check_room(OrganisationId organisation, std::size_t count_max)
      SLUICE_REQUIRES(mutex_);

  Mutex mutex_;
  Database database_ SLUICE_GUARDED_BY(mutex_);
};

// --- organisations

Result<std::vector<Organisation>> SqliteRegistry::organisations(std::optional<OrganisationId> after,
                                                                std::size_t limit) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(fmt::format(
      "SELECT {} FROM organisations WHERE id > ? ORDER BY id LIMIT ?", kOrganisationColumns));
  if (query) query->bind(after ? sql_id(*after) : -1).bind(static_cast<std::int64_t>(limit));
  return read_rows(std::move(query), &organisation_of);
}

Result<std::optional<Organisation>> SqliteRegistry::find_organisation(OrganisationId id) {
  Result<Statement> query = database_.prepare(
      fmt::format("SELECT {} FROM organisations WHERE id = ?", kOrganisationColumns));
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(id)).step();
  if (!row) return row.error();
  if (!*row) return std::optional<Organisation>();
  return std::optional(organisation_of(*query));
}

Result<void> SqliteRegistry::check_unique(const Organisation& organisation) {
  Result<Statement> query = database_.prepare(
      "SELECT id, project = ?2 AND ?2 <> '' FROM organisations "
      "WHERE id <> ?1 AND ((project = ?2 AND ?2 <> '') OR (company_id = ?3 AND ?3 <> ''))");
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(organisation.id))
                               .bind(organisation.project)
                               .bind(organisation.company_id)
                               .step();
  if (!row) return row.error();
  if (!*row) return {};
  return Error{ErrorCode::Conflict,
               fmt::format("{}: organisation {} has it already; each organisation needs its own",
                           query->integer(1) != 0 ? "project" : "company_id", query->integer(0))};
}

Result<Organisation> SqliteRegistry::create_organisation(const Organisation& organisation) {
  if (organisation.id.value() > kIdMax) return id_too_large(organisation.id);
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return transaction.error();
  const Result<std::optional<Organisation>> found = find_organisation(organisation.id);
  if (!found) return found.error();
  if (*found) {
    return Error{ErrorCode::Conflict,
                 fmt::format("organisation {} exists already", organisation.id.value())};
  }
  const Result<void> unique = check_unique(organisation);
  if (!unique) return unique.error();
  Result<Statement> insert = database_.prepare(
      "INSERT INTO organisations (id, name, company_id, project) VALUES (?, ?, ?, ?)");
  if (!insert) return insert.error();
  const Result<void> done = insert->bind(sql_id(organisation.id))
                                .bind(organisation.name)
                                .bind(organisation.company_id)
                                .bind(organisation.project)
                                .run();
  if (!done) return done.error();
  const Result<void> committed = transaction->commit();
  if (!committed) return committed.error();
  return organisation;
}

Result<Organisation> SqliteRegistry::change_organisation(OrganisationId id,
                                                         const OrganisationChange& change) {
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return transaction.error();
  const Result<std::optional<Organisation>> found = find_organisation(id);
  if (!found) return found.error();
  if (!*found) return no_such_organisation(id);
  Organisation organisation = **found;
  if (change.name) organisation.name = *change.name;
  if (change.company_id) organisation.company_id = *change.company_id;
  if (change.project) organisation.project = *change.project;
  const Result<void> unique = check_unique(organisation);
  if (!unique) return unique.error();
  Result<Statement> update = database_.prepare(
      "UPDATE organisations SET name = ?, company_id = ?, project = ? WHERE id = ?");
  if (!update) return update.error();
  const Result<void> done = update->bind(organisation.name)
                                .bind(organisation.company_id)
                                .bind(organisation.project)
                                .bind(sql_id(id))
                                .run();
  if (!done) return done.error();
  const Result<void> committed = transaction->commit();
  if (!committed) return committed.error();
  return organisation;
}

// --- application tokens

Result<void> SqliteRegistry::check_room(OrganisationId organisation, std::size_t count_max) {
  Result<Statement> query =
      database_.prepare("SELECT count(*) FROM application_tokens WHERE organisation_id = ?");
  if (!query) return query.error();
  const Result<bool> row = query->bind(sql_id(organisation)).step();
  if (!row) return row.error();
  SLUICE_ASSERT(*row);
  if (query->integer(0) < static_cast<std::int64_t>(count_max)) return {};
  return Error{ErrorCode::ResourceExhausted,
               fmt::format("organisation {} has {} application tokens already, the most it may "
                           "have: revoke one first",
                           organisation.value(), query->integer(0))};
}

Result<ApplicationToken> SqliteRegistry::create_application_token(ApplicationToken token,
                                                                  std::size_t count_max,
                                                                  WallTime now) {
  const MutexLock lock(mutex_);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return transaction.error();
  const Result<std::optional<Organisation>> owner = find_organisation(token.organisation);
  if (!owner) return owner.error();
  if (!*owner) return no_such_organisation(token.organisation);
  const Result<void> room = check_room(token.organisation, count_max);
  if (!room) return room.error();
  Result<Statement> insert = database_.prepare(
      "INSERT INTO application_tokens (organisation_id, name, role, key_id, secret, created_ms) "
      "VALUES (?, ?, ?, ?, ?, ?)");
  if (!insert) return insert.error();
  const Result<void> done = insert->bind(sql_id(token.organisation))
                                .bind(token.name)
                                .bind(role_name(token.role))
                                .bind(token.key_id)
                                .bind(token.secret)
                                .bind(now.ms)
                                .run();
  if (!done) return done.error();
  token.id = ApplicationTokenId{static_cast<std::uint64_t>(database_.last_insert_id())};
  token.created = now;
  const Result<void> committed = transaction->commit();
  if (!committed) return committed.error();
  return token;
}

Result<std::vector<ApplicationToken>> SqliteRegistry::application_tokens(
    std::optional<OrganisationId> organisation, ApplicationTokenId after, std::size_t limit) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(
      fmt::format("SELECT {} FROM application_tokens WHERE {} AND id > ? ORDER BY id LIMIT ?",
                  kTokenColumns, organisation ? "organisation_id = ?" : "true"));
  if (query && organisation) query->bind(sql_id(*organisation));
  if (query) query->bind(sql_id(after)).bind(static_cast<std::int64_t>(limit));
  return read_rows(std::move(query), &token_of);
}

Result<std::optional<ApplicationToken>> SqliteRegistry::application_token(std::string_view key_id) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(
      fmt::format("SELECT {} FROM application_tokens WHERE key_id = ?", kTokenColumns));
  if (!query) return query.error();
  const Result<bool> row = query->bind(key_id).step();
  if (!row) return row.error();
  if (!*row) return std::optional<ApplicationToken>();
  return std::optional(token_of(*query));
}

Result<ApplicationToken> SqliteRegistry::delete_application_token(
    std::optional<OrganisationId> organisation, ApplicationTokenId id) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(
      fmt::format("DELETE FROM application_tokens WHERE id = ?1 AND organisation_id = coalesce(?2, "
                  "organisation_id) RETURNING {}",
                  kTokenColumns));
  std::optional<std::int64_t> owner;
  if (organisation) owner = sql_id(*organisation);
  if (query) query->bind(sql_id(id)).bind_or_null(owner);
  const Result<std::vector<ApplicationToken>> deleted = read_rows(std::move(query), &token_of);
  if (!deleted) return deleted.error();
  if (deleted->size() == 1) return deleted->front();
  return Error{ErrorCode::NotFound, fmt::format("application token {} does not exist", id.value())};
}

}  // namespace

Result<std::unique_ptr<Registry>> open_sqlite_registry(const std::string& path) {
  Result<Database> database = open_database(path);
  if (!database) return database.error();
  return std::unique_ptr<Registry>(std::make_unique<SqliteRegistry>(*std::move(database)));
}

}  // namespace sluice::catalog
