// A simulated stream's promises, and the ledger of what became of each record.

#include <fmt/format.h>

#include <algorithm>

#include "simulator/stream.h"

namespace sluice::simulator {

using dispatch::Milliseconds;

// ---- The promises ------------------------------------------------------------------------------

void Stream::check_attempt(const connectors::RecordBatch& batch) {
  require(machine_->kept_status() == StreamStatus::Running, "it sends while it must not");
  require(batch.first >= settled_in_this_life_, "this was delivered already");
  require(batch.first >= (replay_ ? replay_->from : row_.start), "this was dropped already");
  require(!closing_, "it sends while another takes its place");
  require(!replay_ || (batch.first >= replay_->from && batch.last < replay_->to),
          "a replay leaves its range");
  require(batch.webhook_id == fmt::format("{}{}-{}-{}-{}", id_.value(),
                                          replay_ ? fmt::format("-r{}", replay_->id.value()) : "",
                                          machine_->revision(), batch.first.value(),
                                          batch.last.value()),
          "the id says something else");
  std::optional<Offset> last;
  std::uint32_t records = 0;
  for (const connectors::RecordRun& run : batch.runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i, ++records) {
      const Offset offset = check_record(run, i);
      require(last ? offset > *last : offset == batch.first, "records out of order");
      last = offset;
      require(!heard_.contains(offset), "this was settled already");
      require(!kept_.contains(offset), "a stop forgets what was settled");
      require(!parked_.contains(offset), "a dead letter is sent");
      require(!redrive_ ||
                  std::binary_search(redrive_->letters.begin(), redrive_->letters.end(), offset),
              "a redrive sends what was not marked");
    }
  }
  require(last == batch.last && records == batch.records, "the batch is not what it says");
  require(records <= applied().limits.records_max, "the batch is too large");
  check_order(batch);

  std::optional<Offset> before;
  for (const std::set<Offset>* settled : {&delivered_, &ignored_, &parked_}) {
    const auto at = settled->lower_bound(machine_->cursor());
    if (at != settled->begin()) before = std::max(before, std::optional(*std::prev(at)));
  }
  const bool exact = !settings_changed_ && !was_disabled_ && !redrive_ &&
                     !applied().delivery.max_age && !world_.retention;
  require(exact ? batch.previous == before : batch.previous < batch.first,
          "wrong X-Sluice-Previous");
}

// No record is overtaken by one of its device or, with one request at a time, of any.
void Stream::check_order(const connectors::RecordBatch& batch) {
  const bool by_device = applied().delivery.parallel > 1;
  const std::int64_t device = device_of(batch);
  std::set<Offset> sent;
  for (std::uint32_t i = 0; i < batch.records; ++i) {
    sent.insert(dispatch::offset_of(batch, i));
    const Record& record = ledger().records[ledger().by_offset.at(*sent.rbegin())];
    require(!by_device || record.endpoint_id == device, "a request of two devices");
  }
  for (auto due = missing_.begin(); due != missing_.end() && *due < batch.last; ++due) {
    const Record& record = ledger().records[ledger().by_offset.at(*due)];
    const bool concerned = !is_too_old(record) && (!by_device || record.endpoint_id == device);
    require(!concerned || sent.contains(*due), fmt::format("it overtakes record {}", due->value()));
  }
}

std::int64_t Stream::device_of(const connectors::RecordBatch& batch) const {
  const connectors::RecordRun& run = batch.runs.front();
  return run.chunk->columns[run.begin].endpoint_id;
}

// The record is one that the log was given, byte for byte, and is on stable storage.
Offset Stream::check_record(const connectors::RecordRun& run, std::uint32_t index) {
  const Offset offset = plus(run.chunk->first, index);
  const std::int64_t number = run.chunk->columns[index].id;
  require(number >= 0 && static_cast<std::size_t>(number) < ledger().records.size(),
          "a record was invented");
  Record& record = ledger().records[static_cast<std::size_t>(number)];
  require(run.chunk->record(index) == record.bytes, "a record's bytes were changed");
  require(run.chunk->kind == record.kind && wanted(record), "a record is not wanted");
  require(record.acknowledged || record.life < world_.life, "a record is sent before it is stored");
  require(!record.offset || *record.offset == offset, "a record has two offsets");
  if (record.offset) return offset;
  record.offset = offset;
  const bool is_new = ledger().by_offset.emplace(offset, static_cast<std::size_t>(number)).second;
  require(is_new, "an offset stands for two records");
  return offset;
}

std::vector<Stream::Fate> Stream::fates(const connectors::RecordBatch& batch) const {
  std::vector<Fate> fates;
  for (const connectors::RecordRun& run : batch.runs) {
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      const auto number = static_cast<std::size_t>(run.chunk->columns[i].id);
      fates.push_back(destination_.fate(number, ledger().records[number]));
    }
  }
  return fates;
}

bool Stream::is_settled(Offset offset) const {
  return delivered_.contains(offset) || ignored_.contains(offset) || parked_.contains(offset) ||
         aged_out_.contains(offset);
}

// By its own settings, or by the log's. To the second: small chunks are read as one, with the time
// of the first.
bool Stream::is_too_old(const Record& record) const {
  const auto is_older = [this](std::int64_t since_ms, std::optional<std::chrono::seconds> age) {
    return age && world_.clock.now().ms - since_ms + 1000 > Milliseconds(*age).count();
  };
  return is_older(record.stored.ms, world_.retention) ||
         is_older(std::max(record.stored.ms, row().created.ms), applied().delivery.max_age);
}

// The cursor passes what is settled, and what is too old.
void Stream::give_up_old() {
  while (!missing_.empty() && *missing_.begin() < machine_->cursor()) {
    const Offset offset = *missing_.begin();
    require(is_too_old(ledger().records[ledger().by_offset.at(offset)]),
            fmt::format("record {} is passed over", offset.value()));
    aged_out_.insert(offset);
    missing_.erase(missing_.begin());
  }
}

void Stream::receive(const Sending& sending) {
  const auto [known, is_new] = bodies_.emplace(sending.batch->webhook_id, sending.body);
  require(is_new || known->second == sending.body, "one id stands for two bodies");
}

// The first `records` of it; returns how far that confirms the stream.
Offset Stream::acknowledge(const connectors::RecordBatch& batch, std::uint32_t records) {
  const std::vector<Fate> fates = this->fates(batch);
  for (std::uint32_t i = 0; i < records; ++i) {
    require(fates[i] == Fate::Taken || fates[i] == Fate::Ignored,
            "the simulator took a record that it must not");
    const Offset offset = dispatch::offset_of(batch, i);
    (fates[i] == Fate::Taken ? delivered_ : ignored_).insert(offset);
    perhaps_parked_.erase(offset);
    aged_out_.erase(offset);
  }
  return settle(batch, records);
}

// Returns how far that takes the stream: one request of a run takes it nowhere by itself.
Offset Stream::settle(const connectors::RecordBatch& batch, std::uint32_t records) {
  for (std::uint32_t i = 0; i < records; ++i) {
    const Offset offset = dispatch::offset_of(batch, i);
    missing_.erase(offset);
    heard_.insert(offset);
    if (applied().delivery.parallel == 1) settled_in_this_life_ = next(offset);
  }
  return applied().delivery.parallel == 1 ? settled_in_this_life_ : machine_->cursor();
}

}  // namespace sluice::simulator
