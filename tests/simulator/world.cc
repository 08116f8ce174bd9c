#include "simulator/world.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/units.h"

namespace sluice::simulator {
namespace {

using testing::DiskFault;
using testing::kForever;

constexpr int kOpenTries = 10;  // the disk fails at the first alone

}  // namespace

std::string name_of(std::int64_t endpoint) { return fmt::format("sensor {}", endpoint); }

World::World(std::uint64_t seed, Metrics& metrics_in)
    : random(seed), metrics(metrics_in), disk({.seed = seed}), vfs(disk) {
  ledgers.resize(1 + below(2));
  for (std::size_t i = 0; i < ledgers.size(); ++i) ledgers[i].id = OrganisationId{i + 1};
  partitions = static_cast<std::uint32_t>(1 + below(2));
  record_bytes_max = one_in(4) ? 8000 : 300;  // the large ones fill segments
  journal_compact_bytes = one_in(2) ? 2 * kKiB : 4 * kMiB;
  if (one_in(4)) retention = std::chrono::seconds(60 + below(300));
  // The server's data directory, which it makes durable by itself.
  if (!disk.create_directories("/data") || !disk.sync_directory("/")) std::abort();
}

// In the server's order.
bool World::open() { return open_catalog() && open_log() && open_letters(); }

// SQLite's files are to be there before it opens them.
bool World::make_file(const std::string& path) {
  const auto exists = disk.exists(path);
  return exists && (*exists || disk.open(path, OpenMode::CreateNew));
}

bool World::open_catalog() {
  const std::string path = "/data/catalog.db";
  if (!make_file(path)) return false;
  auto opened = catalog::open_sqlite(path, secrets_);
  if (!opened) return false;
  catalog = *std::move(opened);
  auto opened_replays = catalog::open_sqlite_replays(path);
  if (!opened_replays) return false;
  replays = *std::move(opened_replays);
  std::vector<catalog::Organisation> organisations;
  for (const Ledger& ledger : ledgers) organisations.push_back({ledger.id, ""});
  return catalog->register_organisations(organisations).has_value();
}

bool World::open_log() {
  recordlog::LocalSettings settings{.directory = "/data/log",
                                    .partitions = partitions,
                                    .segment_bytes = 64 * kKiB,
                                    .own_threads = false};
  if (retention) settings.retention_s = retention->count();
  auto opened = recordlog::open_local(settings, {disk, clock, metrics});
  if (!opened) return false;
  log = *std::move(opened);
  auto read =
      dispatch::Journal::open("/data/journal", disk, metrics,
                              {.compact_bytes = journal_compact_bytes, .own_thread = false});
  if (!read) return false;
  journal = *std::move(read);
  return true;
}

bool World::open_letters() {
  const std::string path = "/data/dead-letters.db";
  if (!make_file(path)) return false;
  auto opened = catalog::open_dead_letters(path, {}, metrics);
  if (!opened) return false;
  letters = *std::move(opened);
  auto found = catalog::find_under_way(*catalog, *replays, *letters);
  if (!found) return false;
  under_way = *std::move(found);
  const auto states = letters->states();
  if (!states) return false;
  parked_states.clear();
  for (const catalog::DeadLetters::State& state : *states) {
    auto parked = dispatch::decode_parked_state(state.bytes);
    if (!parked) throw Violation("the state beside the dead letters is damaged");
    parked_states.emplace(state.key, *std::move(parked));
  }
  return true;
}

void World::begin_life() {
  ++life;
  if (one_in(4)) arm_fault();
  for (int tries = 1; !open() || crashed(); ++tries) {
    if (tries == kOpenTries) throw Violation("what lies on the disk cannot be opened any more");
    end_life();
    ++life;
  }
  for (Ledger& ledger : ledgers) {
    const Offset end = log->end(ledger.id);
    if (!ledger.by_offset.empty() && end <= ledger.by_offset.rbegin()->first) {
      throw Violation(fmt::format("organisation {} ends at {}, but {} was acknowledged",
                                  ledger.id.value(), end.value(),
                                  ledger.by_offset.rbegin()->first.value()));
    }
  }
}

void World::end_life() {
  disk.power_off();
  close();
  one_in(2) ? disk.power_on() : disk.revive();
  crash_armed = false;
}

void World::stop() {
  journal->stop();
  close();
  heal();
  if (one_in(2)) disk.power_cut();
}

void World::close() {
  journal.reset();
  log.reset();
  replays.reset();
  letters.reset();
  catalog.reset();
}

std::vector<std::size_t> World::store(Ledger& ledger) {
  const auto payload = std::make_shared<std::vector<std::string>>();
  const Kind kind = one_in(3) ? Kind::Usage : Kind::Event;
  std::vector<std::size_t> numbers;
  recordlog::NewRecords group{ledger.id, kind, {}};
  const std::uint64_t count = 1 + below(12);
  payload->reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    numbers.push_back(ledger.records.size());
    const auto endpoint = static_cast<std::int64_t>(below(kEndpoints));
    payload->push_back(fmt::format(R"({{"id":{},"endpoint":{{"id":{},"name":"{}"}},"pad":"{}"}})",
                                   numbers.back(), endpoint, name_of(endpoint),
                                   std::string(below(record_bytes_max), 'x')));
    ledger.records.push_back({kind, endpoint, payload->back(), life, clock.now(), {}, false});
    RecordColumns columns;
    columns.id = static_cast<std::int64_t>(numbers.back());
    columns.endpoint_id = endpoint;
    group.records.push_back({payload->back(), columns});
  }
  recordlog::AppendRequest request;
  request.groups.push_back(std::move(group));
  request.payload = payload;
  std::optional<Result<void>> stored;
  log->append(std::move(request), [&](Result<void> result) { stored = std::move(result); });
  if (!stored) throw Violation("an append was never answered");
  if (!*stored) return {};
  const std::uint64_t end = log->end(ledger.id).value();
  if (end < count) throw Violation("an append was acknowledged, but the log did not grow");
  for (std::uint64_t i = 0; i < count; ++i) {
    const Offset offset{end - count + i};
    Record& record = ledger.records[numbers[i]];
    record.offset = offset;
    record.acknowledged = true;
    if (!ledger.by_offset.emplace(offset, numbers[i]).second) {
      throw Violation(fmt::format("offset {} stands for two records", offset.value()));
    }
  }
  return numbers;
}

void World::arm_fault() {
  DiskFault fault;
  fault.number = 1 + below(12);
  fault.torn = one_in(2);
  crash_armed = one_in(2);
  if (crash_armed) {
    fault.times = kForever;
  } else if (one_in(3)) {
    fault.code = ErrorCode::ResourceExhausted;
    fault.times = 1 + below(10);
  } else if (one_in(2)) {
    fault.operations = mask(testing::DiskOperation::Sync);
    fault.number = 1 + below(3);
  }
  disk.arm(fault);
}

void World::heal() {
  disk.heal();
  crash_armed = false;
}

}  // namespace sluice::simulator
