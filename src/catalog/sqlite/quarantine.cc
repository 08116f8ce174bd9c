// The quarantine on SQLite, in a file of its own: a flood of bad records shall not swell the
// catalog. One connection behind a mutex. A rollback journal, as bulk writes would make a
// write-ahead log grow to their size beside the file.

#include "catalog/quarantine.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/mutex.h"
#include "catalog/sqlite/database.h"
#include "catalog/sqlite/own_file.h"

namespace sluice::catalog {
namespace {

constexpr std::uint64_t kRowOverheadBytes = 128;  // ids, the request's hash and its index entry

// AUTOINCREMENT, so that an id never stands for two records. With auto_vacuum, which must come
// before the first table, clearing gives the disk its room back.
constexpr const char* kConfigure =
    "PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL";
constexpr const char* kSchema = R"sql(
  CREATE TABLE rejected (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ms INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    organisation_id INTEGER,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    bytes TEXT NOT NULL,
    request TEXT,
    record_index INTEGER NOT NULL
  );
  CREATE UNIQUE INDEX rejected_once ON rejected (request, record_index) WHERE request IS NOT NULL;
)sql";

constexpr OwnFile kFile = {.name = "quarantine",
                           .application_id = 0x534c5131,  // "SLQ1"
                           .schema_version = 1,
                           .configure = kConfigure,
                           .schema = kSchema};

Error ours(Error error) { return renamed(std::move(error), kFile.name); }

class SqliteQuarantine final : public Quarantine {
 public:
  SqliteQuarantine(Database database, std::uint64_t bytes_max, Metrics& metrics)
      : bytes_max_(bytes_max),
        bytes_(metrics.gauge("sluice_quarantine_bytes", "Size of the quarantine's file")),
        database_(std::move(database)) {}

  Result<void> add(const RejectedRecords& rejected) override;
  Result<Page> list(std::optional<std::uint64_t> before, std::uint32_t limit) override;
  Result<std::uint64_t> clear(std::optional<std::uint64_t> last) override;
  Result<void> measure();

 private:
  Result<std::uint64_t> size() SLUICE_REQUIRES(mutex_);
  Result<void> insert(const RejectedRecords& rejected) SLUICE_REQUIRES(mutex_);

  const std::uint64_t bytes_max_;
  Gauge bytes_;
  Mutex mutex_;
  Database database_ SLUICE_GUARDED_BY(mutex_);
};

Result<std::uint64_t> SqliteQuarantine::size() {
  const Result<std::int64_t> pages = database_.integer("PRAGMA page_count");
  if (!pages) return ours(pages.error());
  const Result<std::int64_t> page_bytes = database_.integer("PRAGMA page_size");
  if (!page_bytes) return ours(page_bytes.error());
  const auto bytes = static_cast<std::uint64_t>(*pages * *page_bytes);
  bytes_.set(static_cast<double>(bytes));
  return bytes;
}

Result<void> SqliteQuarantine::measure() {
  const MutexLock lock(mutex_);
  const Result<std::uint64_t> bytes = size();
  if (!bytes) return bytes.error();
  return {};
}

Result<void> SqliteQuarantine::add(const RejectedRecords& rejected) {
  std::uint64_t more = 0;
  for (const RejectedRecords::Record& record : rejected.records) {
    more += record.bytes.size() + record.reason.size() + rejected.subject.size();
    more += kRowOverheadBytes;
  }
  const MutexLock lock(mutex_);
  const Result<std::uint64_t> used = size();
  if (!used) return used.error();
  if (*used + more > bytes_max_) {
    return Error{ErrorCode::ResourceExhausted,
                 fmt::format("quarantine: {} of {} bytes are used, too many for {} more", *used,
                             bytes_max_, more)};
  }
  Result<void> inserted = insert(rejected);
  if (!inserted) return ours(std::move(inserted.error()));
  const Result<std::uint64_t> now = size();
  if (!now) return now.error();
  return {};
}

Result<void> SqliteQuarantine::insert(const RejectedRecords& rejected) {
  std::optional<std::string_view> request;
  if (rejected.request) {
    request = std::string_view(reinterpret_cast<const char*>(rejected.request->data()),
                               rejected.request->size());
  }
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return transaction.error();
  Result<Statement> statement = database_.prepare(
      "INSERT OR IGNORE INTO rejected (time_ms, kind, organisation_id, subject, reason, bytes, "
      "request, record_index) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  if (!statement) return statement.error();
  for (const RejectedRecords::Record& record : rejected.records) {
    std::optional<std::int64_t> organisation;
    if (record.organisation) organisation = static_cast<std::int64_t>(record.organisation->value());
    const Result<void> done = statement->bind(rejected.time.ms)
                                  .bind(static_cast<std::int64_t>(rejected.kind))
                                  .bind_or_null(organisation)
                                  .bind(rejected.subject)
                                  .bind(record.reason)
                                  .bind(record.bytes)
                                  .bind_or_null(request)
                                  .bind(static_cast<std::int64_t>(record.index))
                                  .run();
    if (!done) return done;
  }
  return transaction->commit();
}

Result<Quarantine::Page> SqliteQuarantine::list(std::optional<std::uint64_t> before,
                                                std::uint32_t limit) {
  const MutexLock lock(mutex_);
  Result<Statement> query = database_.prepare(
      "SELECT id, time_ms, kind, organisation_id IS NULL, organisation_id, subject, reason, bytes "
      "FROM rejected WHERE id < ? ORDER BY id DESC");
  if (!query) return ours(query.error());
  query->bind(before ? static_cast<std::int64_t>(*before)
                     : std::numeric_limits<std::int64_t>::max());
  Page page;
  std::uint64_t bytes = 0;
  for (;;) {
    const Result<bool> row = query->step();
    if (!row) return ours(row.error());
    if (!*row) return page;
    if (page.records.size() == limit || bytes >= kPageBytesMax) {
      page.more = true;
      return page;
    }
    QuarantinedRecord record;
    record.id = static_cast<std::uint64_t>(query->integer(0));
    record.time = WallTime{query->integer(1)};
    record.kind = static_cast<Kind>(query->integer(2));
    if (query->integer(3) == 0) {
      record.organisation = OrganisationId{static_cast<std::uint64_t>(query->integer(4))};
    }
    record.subject = query->text(5);
    record.reason = query->text(6);
    record.bytes = query->text(7);
    bytes += record.bytes.size() + record.reason.size();
    page.records.push_back(std::move(record));
  }
}

Result<std::uint64_t> SqliteQuarantine::clear(std::optional<std::uint64_t> last) {
  const MutexLock lock(mutex_);
  Result<Statement> statement = database_.prepare("DELETE FROM rejected WHERE id <= ?");
  if (!statement) return ours(statement.error());
  const Result<void> done =
      statement
          ->bind(last ? static_cast<std::int64_t>(*last) : std::numeric_limits<std::int64_t>::max())
          .run();
  if (!done) return ours(done.error());
  const auto removed = static_cast<std::uint64_t>(database_.changes());
  const Result<std::uint64_t> now = size();
  if (!now) return now.error();
  return removed;
}

}  // namespace

Result<std::unique_ptr<Quarantine>> open_quarantine(const std::string& path,
                                                    std::uint64_t bytes_max, Metrics& metrics) {
  Result<Database> database = open_own_file(path, kFile);
  if (!database) return database.error();
  auto quarantine = std::make_unique<SqliteQuarantine>(*std::move(database), bytes_max, metrics);
  if (const Result<void> measured = quarantine->measure(); !measured) return measured.error();
  return std::unique_ptr<Quarantine>(std::move(quarantine));
}

}  // namespace sluice::catalog
