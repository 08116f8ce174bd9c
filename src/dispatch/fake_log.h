#pragma once
// A record log in memory for this folder's tests: chunks as they were stored, each of which can be
// aged out or damaged. A record that begins with a digit has it as its type id; "!5" is the
// beginning of an alert about stream 5, "@a" that of a record of endpoint 'a'. Threads: any.

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "model/alert_id.h"
#include "recordlog/recordlog.h"

namespace sluice::dispatch {

inline std::shared_ptr<const recordlog::Chunk> make_chunk(OrganisationId organisation, Kind kind,
                                                          Offset first, WallTime stored,
                                                          const std::vector<std::string>& records) {
  struct Storage {
    std::string joined;
    std::vector<std::uint32_t> starts;
    std::vector<RecordColumns> columns;
  };
  auto storage = std::make_shared<Storage>();
  for (const std::string& record : records) {
    if (!storage->starts.empty()) storage->joined += ',';
    storage->starts.push_back(static_cast<std::uint32_t>(storage->joined.size()));
    storage->joined += record;
  }
  storage->starts.push_back(static_cast<std::uint32_t>(storage->joined.size() + 1));
  for (const std::string& record : records) {
    RecordColumns& columns = storage->columns.emplace_back();
    if (!record.empty() && record[0] >= '0' && record[0] <= '9') columns.type_id = record[0] - '0';
    if (record.starts_with('@')) columns.endpoint_id = record[1];
    if (record.starts_with('!')) {
      const StreamId about{static_cast<std::uint64_t>(record[1] - '0')};
      columns.own_alert = 1;
      columns.id = alert_id(about, AlertKind::Error, 0);
      columns.type_id = event_type_of(AlertKind::Error);
    }
  }
  auto* chunk = new recordlog::Chunk;
  chunk->organisation = organisation;
  chunk->kind = kind;
  chunk->first = first;
  chunk->stored = stored;
  chunk->joined = storage->joined;
  chunk->starts = storage->starts;
  chunk->columns = storage->columns;
  return {chunk, [storage](const recordlog::Chunk* dead) { delete dead; }};
}

class FakeLog final : public recordlog::RecordLog {
 public:
  enum class Loss : std::uint8_t { None, AgedOut, Damaged };

  // Returns the first record's offset. The observer is told.
  Offset store(OrganisationId organisation, Kind kind, const std::vector<std::string>& records,
               WallTime stored = {}) {
    Offset first;
    recordlog::AppendObserver* observer = nullptr;
    recordlog::AppendObserver::Appended appended{organisation, {}};
    {
      const MutexLock lock(mutex_);
      Organisation& log = organisations_[organisation];
      first = log.end;
      log.end = plus(first, records.size());
      log.chunks.push_back({make_chunk(organisation, kind, first, stored, records), Loss::None});
      appended.end = log.end;
      observer = observer_;
    }
    if (observer != nullptr) observer->on_appended({&appended, 1});
    return first;
  }

  // Whole chunks: the one that holds `offset`.
  void lose(OrganisationId organisation, Offset offset, Loss loss) {
    const MutexLock lock(mutex_);
    for (auto& [chunk, lost] : organisations_[organisation].chunks) {
      if (chunk->first <= offset && offset < chunk->end()) lost = loss;
    }
  }

  void fail_reads(std::optional<Error> error) {
    const MutexLock lock(mutex_);
    read_error_ = std::move(error);
  }

  Result<recordlog::ReadResult> read(OrganisationId organisation, KindSet kinds, Offset from) {
    const MutexLock lock(mutex_);
    if (read_error_) return *read_error_;
    const Organisation& log = organisations_[organisation];
    if (from > log.end) return Error{ErrorCode::NotFound, "beyond the end"};
    recordlog::ReadResult result;
    result.resume = from;
    for (const auto& [chunk, loss] : log.chunks) {
      if (chunk->end() <= from) continue;
      const std::uint64_t asked_of_it = chunk->end().value() - std::max(from, chunk->first).value();
      result.resume = chunk->end();
      if (loss == Loss::AgedOut) result.aged_out += asked_of_it;
      if (loss == Loss::Damaged) result.damaged += asked_of_it;
      if (loss == Loss::None && kinds.contains(chunk->kind)) {
        result.chunk = chunk;
        break;
      }
    }
    return result;
  }

  void append(recordlog::AppendRequest, recordlog::AppendDone) override {}
  void set_observer(recordlog::AppendObserver* observer) override {
    const MutexLock lock(mutex_);
    observer_ = observer;
  }
  std::unique_ptr<recordlog::Reader> reader(OrganisationId organisation, KindSet kinds) override {
    struct FakeReader final : recordlog::Reader {
      FakeReader(FakeLog& log_in, OrganisationId organisation_in, KindSet kinds_in)
          : log(log_in), organisation(organisation_in), kinds(kinds_in) {}
      Result<recordlog::ReadResult> read(Offset from) override {
        return log.read(organisation, kinds, from);
      }
      FakeLog& log;
      OrganisationId organisation;
      KindSet kinds;
    };
    return std::make_unique<FakeReader>(*this, organisation, kinds);
  }
  Offset end(OrganisationId organisation) const override {
    const MutexLock lock(mutex_);
    const auto found = organisations_.find(organisation);
    return found == organisations_.end() ? Offset{} : found->second.end;
  }
  Result<Offset> offset_at(OrganisationId organisation, WallTime) override {
    return end(organisation);
  }
  std::vector<recordlog::StoredPiece> stored_pieces(
      const std::array<std::uint8_t, 16>&) const override {
    return {};
  }
  recordlog::Statistics statistics() const override { return {}; }
  Result<void> health() const override { return {}; }

 private:
  struct Organisation {
    struct Stored {
      std::shared_ptr<const recordlog::Chunk> chunk;
      Loss loss;
    };
    std::vector<Stored> chunks;
    Offset end;
  };
  mutable Mutex mutex_;
  std::map<OrganisationId, Organisation> organisations_ SLUICE_GUARDED_BY(mutex_);
  recordlog::AppendObserver* observer_ SLUICE_GUARDED_BY(mutex_) = nullptr;
  std::optional<Error> read_error_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::dispatch
