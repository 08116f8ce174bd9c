#pragma once
// A StreamMachine through a script, for the tests of this folder: an event on the left, what the
// machine asks for on the right.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "dispatch/fake_log.h"
#include "dispatch/stream_machine.h"
#include "dispatch/whole_batch.h"

namespace sluice::dispatch {

inline constexpr OrganisationId kOrganisation{7};

class Script {
 public:
  explicit Script(DeliverySettings delivery = {}, connectors::BatchLimits limits = {10, 1 << 20}) {
    options.stream = StreamId{5};
    options.organisation = kOrganisation;
    options.settings.delivery = delivery;
    options.settings.limits = limits;
    options.settings.render_revision = 1;
    options.evaluator = &evaluator;
    options.chance = [] { return 0.0; };
    options.wall = [this] {
      return WallTime{std::chrono::duration_cast<Milliseconds>(now.time_since_epoch()).count()};
    };
    start.entry = cursor_at(Offset{0});
  }

  static JournalEntry cursor_at(Offset cursor) {
    JournalEntry entry;
    entry.stream = StreamId{5};
    entry.cursor = cursor;
    entry.render_revision = 1;
    return entry;
  }

  // Stores without telling the machine.
  void lay(std::size_t count, Kind kind = Kind::Event, std::size_t bytes = 20) {
    log.store(kOrganisation, kind, std::vector<std::string>(count, std::string(bytes, 'x')));
  }

  std::string begin() {
    start.end = log.end(kOrganisation);
    machine.emplace(options, start);
    return did(machine->begin(now));
  }
  std::string store(std::size_t count, Kind kind = Kind::Event, std::size_t bytes = 20) {
    lay(count, kind, bytes);
    return ready();
  }
  std::string ready() { return did(machine->records_ready(log.end(kOrganisation), now)); }
  std::string frozen() { return did(machine->frozen({}, now)); }
  std::string freeze_failed() {
    return did(machine->frozen(Error{ErrorCode::Io, "disk full"}, now));
  }
  std::string saved() { return did(machine->saved({}, now)); }
  std::string save_failed() { return did(machine->saved(Error{ErrorCode::Io, "disk full"}, now)); }
  std::string sent(connectors::Decision decision, int status = 200, bool answered = true,
                   Fault fault = Fault::Destination) {
    return did(machine->sent(*sending, {std::move(decision), status, answered, fault}, now));
  }
  // The same, and the destination made nothing of so many of the records that arrived.
  std::string sent_but(std::uint32_t skipped, connectors::Decision decision) {
    return answer_but(sending->first.value(), skipped, std::move(decision));
  }
  std::string parked(Result<void> result = {}) { return did(machine->parked(result, now)); }
  std::string skip(std::uint64_t to, bool park) {
    auto actions = machine->skip(Offset{to}, park, now);
    if (!actions) return std::string("refused");
    return did(std::move(*actions));
  }
  std::string delivered() { return sent(connectors::Delivered{}); }
  std::string failed(std::string reason = "503") {
    return sent(connectors::RetryLater{reason, {}, 0}, 503);
  }

  // Time passes; timers go off on their way.
  std::string after(Milliseconds wait) {
    const SteadyTime until = now + wait;
    std::string all;
    while (machine->wake_at() && *machine->wake_at() <= until) {
      now = *machine->wake_at();
      join(all, did(machine->timer(now)));
    }
    now = until;
    join(all, did(machine->timer(now)));
    return all;
  }
  std::string command(Command command) {
    auto actions = machine->command(command, now);
    if (!actions) return std::string("refused");
    return did(std::move(*actions));
  }
  std::string change(StreamMachine::Settings settings, bool new_destination = false) {
    settings.settings_revision = ++options.settings.settings_revision;
    return did(machine->change(std::move(settings), new_destination, now));
  }
  // Records of these types, each its type's digit and some more.
  std::string store_types(std::string_view types) {
    std::vector<std::string> records;
    for (const char type : types) records.push_back(type + std::string(19, 'x'));
    log.store(kOrganisation, Kind::Event, records);
    return machine ? did(machine->records_ready(log.end(kOrganisation), now)) : "";
  }
  // Records of these devices.
  std::string store_devices(std::string_view devices) {
    std::vector<std::string> records;
    for (const char device : devices) records.push_back(std::string("@") + device + "xxxxxxxx");
    log.store(kOrganisation, Kind::Event, records);
    return machine ? did(machine->records_ready(log.end(kOrganisation), now)) : "";
  }
  // The request that begins with that record has ended.
  std::string answer(std::uint64_t first, connectors::Decision decision, int status = 200,
                     bool answered = true, Fault fault = Fault::Destination) {
    const connectors::RecordBatch& batch = *under_way.extract(first).mapped();
    return did(machine->sent(batch, {std::move(decision), status, answered, fault}, now));
  }
  std::string answer_but(std::uint64_t first, std::uint32_t skipped,
                         connectors::Decision decision) {
    const connectors::RecordBatch& batch = *under_way.extract(first).mapped();
    connectors::SendOutcome outcome{std::move(decision), 202, true};
    outcome.skipped = skipped;
    return did(machine->sent(batch, outcome, now));
  }
  std::string delivered(std::uint64_t first) { return answer(first, connectors::Delivered{}); }
  std::string failed(std::uint64_t first) {
    return answer(first, connectors::RetryLater{"503", {}, 0}, 503);
  }
  std::string sent_records() const {
    std::string types;
    for (const connectors::RecordRun& run : sending->runs) {
      for (std::uint32_t i = run.begin; i < run.end; ++i) types += run.chunk->record(i)[0];
    }
    return types;
  }
  std::string release() { return did(machine->release(now)); }
  std::string stop() { return did(machine->stop(now)); }
  std::string close() { return did(machine->close(now)); }
  std::string reopen() { return did(machine->reopen(now)); }
  std::string abandon() { return did(machine->abandon(now)); }

  const connectors::RecordBatch& batch() const { return *sending; }

  FakeLog log;
  filters::Evaluator evaluator;
  StreamMachine::Options options;
  StreamMachine::Start start;
  SteadyTime now{std::chrono::seconds(1'000'000)};
  std::optional<StreamMachine> machine;
  std::optional<JournalEntry> freezing;
  std::optional<JournalEntry> saving;
  std::optional<Actions::Park> parking;
  const connectors::RecordBatch* sending = nullptr;                   // the one that began last
  std::map<std::uint64_t, const connectors::RecordBatch*> under_way;  // by their first records
  int reads = 0;

 private:
  static constexpr KindSet kKinds{Kind::Event, Kind::SensorEvent};

  std::unique_ptr<recordlog::Reader> reader() { return log.reader(kOrganisation, kKinds); }
  static void join(std::string& all, const std::string& more) {
    if (!all.empty() && !more.empty()) all += ", ";
    all += more;
  }

  // Reads what the machine wants, and says what it asked for.
  std::string did(Actions actions) {
    std::string all;
    for (;;) {
      join(all, describe(actions));
      const auto from = machine->wants_read();
      if (!from) break;
      ++reads;
      actions = machine->read_done(log.read(kOrganisation, kKinds, *from), now);
    }
    EXPECT_GT(machine->wake_at().value_or(SteadyTime::max()), now) << "would spin";
    return all;
  }

  std::string describe(const Actions& actions) {
    std::string all;
    if (actions.freeze) {
      freezing = actions.freeze;
      EXPECT_EQ(freezing->kind, JournalEntry::Kind::Boundary);
      join(all, fmt::format("freeze {}-{}", freezing->cursor.value(), freezing->last.value()));
    }
    if (actions.save) {
      saving = actions.save;
      const bool boundary = saving->kind == JournalEntry::Kind::Boundary;
      join(all, fmt::format("save {}{}", saving->cursor.value(),
                            boundary ? fmt::format("-{}", saving->last.value()) : ""));
    }
    if (actions.park) {
      parking = actions.park;
      const connectors::RecordBatch* records = parking->records;
      join(all, records == nullptr
                    ? "keep"
                    : fmt::format("park {}-{}", records->first.value(), records->last.value()));
    }
    for (const connectors::RecordBatch* batch : actions.send) {
      sending = batch;
      under_way[batch->first.value()] = batch;
      join(all, fmt::format("send {} #{}", sending->webhook_id, sending->attempt));
      std::uint32_t records = 0;
      std::uint64_t bytes = 0;
      const auto whole = whole_batch(*batch, reader(), machine->selection());
      if (!whole) {
        join(all, "lost");
        continue;
      }
      for (const connectors::RecordRun& run : whole->runs) {
        records += run.count();
        bytes += run.joined().size() - (run.count() - 1);
      }
      EXPECT_EQ(records, sending->records);
      EXPECT_EQ(bytes, sending->bytes);
    }
    if (actions.cancel) join(all, "cancel");
    return all;
  }
};

inline std::shared_ptr<const filters::Filter> only_types(std::initializer_list<int> types) {
  const nlohmann::json clauses = {{{"field", "event_type_id"}, {"value", types}}};
  return std::get<0>(filters::Filter::compile(clauses, {Kind::Event}));
}

inline DeliverySettings with_linger(Milliseconds linger) {
  DeliverySettings settings;
  settings.linger = linger;
  return settings;
}

}  // namespace sluice::dispatch
