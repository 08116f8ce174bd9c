#pragma once
// What the record log's tests share: a clock to turn, records that say who they are, and a log on
// a FaultyDisk with blocking calls.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "recordlog/local/local_log.h"
#include "support/faulty_disk.h"

namespace sluice::recordlog {

class ManualClock final : public Clock {
 public:
  WallTime now() const override { return {wall_begin_ms_ + passed_ms_}; }
  SteadyTime steady() const override {
    return SteadyTime{std::chrono::milliseconds(1'000'000 + passed_ms_)};
  }
  // One step for both clocks: no thread sees one of them before it and the other behind.
  void advance_s(std::int64_t seconds) { passed_ms_ += seconds * 1000; }
  void step_wall_s(std::int64_t seconds) { wall_begin_ms_ += seconds * 1000; }

 private:
  std::atomic<std::int64_t> wall_begin_ms_ = 1'700'000'000'000;
  std::atomic<std::int64_t> passed_ms_ = 0;
};

inline constexpr KindSet kAllKinds{Kind::Usage, Kind::Event, Kind::SensorEvent, Kind::Message};

struct StoredRecord {
  Offset offset;
  Kind kind = Kind::Event;
  std::string bytes;
  std::int64_t id = 0;  // from its columns
  friend bool operator==(const StoredRecord&, const StoredRecord&) = default;
};

// Builds a request whose records lie in one payload, side by side with commas, as ingest leaves
// them.
class RequestMaker {
 public:
  RequestMaker& group(OrganisationId organisation, Kind kind) {
    groups_.push_back({organisation, kind, {}});
    return *this;
  }
  RequestMaker& record(std::string bytes, std::int64_t id) {
    groups_.back().records.emplace_back(std::move(bytes), id);
    return *this;
  }
  AppendRequest make() const {
    auto payload = std::make_shared<std::string>();
    for (const Group& group : groups_) {
      for (const auto& [bytes, id] : group.records) *payload += bytes + ",";
    }
    AppendRequest request;
    std::size_t at = 0;
    for (const Group& group : groups_) {
      NewRecords records{group.organisation, group.kind, {}};
      for (const auto& [bytes, id] : group.records) {
        RecordColumns columns;
        columns.id = id;
        records.records.push_back({std::string_view(*payload).substr(at, bytes.size()), columns});
        at += bytes.size() + 1;
      }
      request.groups.push_back(std::move(records));
    }
    request.payload = payload;
    return request;
  }

 private:
  struct Group {
    OrganisationId organisation;
    Kind kind;
    std::vector<std::pair<std::string, std::int64_t>> records;
  };
  std::vector<Group> groups_;
};

// A record that tells its organisation and number, padded to about `size` bytes.
inline std::string record_text(OrganisationId organisation, std::int64_t number,
                               std::size_t size = 60) {
  std::string text = fmt::format(R"({{"o":{},"n":{},"pad":")", organisation.value(), number);
  if (text.size() + 2 < size) text.append(size - text.size() - 2, 'x');
  return text + "\"}";
}

inline Result<void> append_and_wait(RecordLog& log, AppendRequest request) {
  std::promise<Result<void>> promise;
  log.append(std::move(request), [&](Result<void> result) { promise.set_value(result); });
  return promise.get_future().get();
}

struct ReadAll {
  std::vector<StoredRecord> records;
  std::uint64_t aged_out = 0;
  std::uint64_t damaged = 0;
  std::optional<Error> error;
};

inline ReadAll read_all(RecordLog& log, OrganisationId organisation, KindSet kinds = kAllKinds,
                        Offset from = {}) {
  ReadAll all;
  const auto reader = log.reader(organisation, kinds);
  for (Offset at = from;;) {
    const Result<ReadResult> read = reader->read(at);
    if (!read) {
      all.error = read.error();
      return all;
    }
    all.aged_out += read->aged_out;
    all.damaged += read->damaged;
    if (read->chunk) {
      const Chunk& chunk = *read->chunk;
      for (std::uint32_t i = 0; i < chunk.count(); ++i) {
        if (plus(chunk.first, i) < at) continue;
        all.records.push_back(
            {plus(chunk.first, i), chunk.kind, std::string(chunk.record(i)), chunk.columns[i].id});
      }
    }
    if (read->resume == at) return all;
    at = read->resume;
  }
}

// A log in "/log" of a disk that outlives it.
class TestLog {
 public:
  static constexpr const char* kDirectory = "/log";

  explicit TestLog(FileSystem& disk) : disk_(disk) {
    settings.directory = kDirectory;
    settings.partitions = 1;
    settings.segment_bytes = 64 * kKiB;
  }
  Result<void> open() {
    close();
    metrics_ = std::make_unique<Metrics>();
    auto opened = open_local(settings, {disk_, clock, *metrics_});
    if (!opened) return opened.error();
    log_ = *std::move(opened);
    return {};
  }
  void close() { log_.reset(); }
  bool is_open() const { return log_ != nullptr; }
  LocalLog& operator*() { return *log_; }
  LocalLog* operator->() { return log_.get(); }

  // Appends `count` records numbered from `first` on, of `size` bytes, in one request.
  Result<void> append(OrganisationId organisation, std::int64_t first, int count,
                      std::size_t size = 60, Kind kind = Kind::Event) {
    RequestMaker maker;
    maker.group(organisation, kind);
    for (int i = 0; i < count; ++i) {
      maker.record(record_text(organisation, first + i, size), first + i);
    }
    return append_and_wait(*log_, maker.make());
  }

  LocalSettings settings;
  ManualClock clock;

 private:
  FileSystem& disk_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<LocalLog> log_;
};

}  // namespace sluice::recordlog
