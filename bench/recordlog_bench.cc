// CPU and time of the record log's way to the disk, and back. Not a test: run it by hand.
//   recordlog_bench DIRECTORY [records_millions]
// Prints seconds per million records of 766 bytes, with bodies of 1,000 records as ingest hands
// them over. `frame` is laying out and checksumming alone, `append` all of it with fdatasync.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <semaphore>

#include "base/clock.h"
#include "base/metrics.h"
#include "recordlog/local/group_builder.h"
#include "recordlog/local/local_log.h"

namespace {

using namespace sluice;
using namespace sluice::recordlog;

constexpr std::size_t kRecordBytes = 766;
constexpr std::size_t kBodyRecords = 1'000;

struct Cost {
  double user_s = 0;
  double system_s = 0;
  double wall_s = 0;
};

Cost now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return t.tv_sec + t.tv_usec * 1e-6; };
  const auto wall = std::chrono::steady_clock::now().time_since_epoch();
  return {seconds(usage.ru_utime), seconds(usage.ru_stime),
          std::chrono::duration<double>(wall).count()};
}

void print(const char* name, const Cost& begin, double millions) {
  const Cost end = now();
  fmt::print("{:28} user {:.3f}  system {:.3f}  wall {:.3f}  s/M\n", name,
             (end.user_s - begin.user_s) / millions, (end.system_s - begin.system_s) / millions,
             (end.wall_s - begin.wall_s) / millions);
}

// A body as ingest leaves it: records side by side with commas between, or spread out.
AppendRequest make_body(OrganisationId organisation, char separator) {
  auto payload = std::make_shared<std::string>();
  for (std::size_t i = 0; i < kBodyRecords; ++i) {
    *payload += "{\"pad\":\"" + std::string(kRecordBytes - 10, 'x') + "\"}" + separator;
  }
  AppendRequest request;
  request.groups.push_back({organisation, Kind::Event, {}});
  for (std::size_t i = 0; i < kBodyRecords; ++i) {
    const auto bytes = std::string_view(*payload).substr(i * (kRecordBytes + 1), kRecordBytes);
    request.groups[0].records.push_back({bytes, RecordColumns{}});
  }
  request.payload = payload;
  return request;
}

void bench_frame(const char* name, char separator, double millions) {
  const AppendRequest body = make_body(OrganisationId{1}, separator);
  GroupBuilder builder;
  const Cost begin = now();
  const auto bodies = static_cast<std::size_t>(millions * 1e6 / kBodyRecords);
  for (std::size_t i = 0; i < bodies; i += 10) {
    builder.clear();
    for (int body_of_group = 0; body_of_group < 10; ++body_of_group) builder.add(body, 0);
    builder.prepare();
  }
  print(name, begin, millions);
}

void bench_log(const char* name, const std::string& directory, std::size_t organisations,
               std::size_t body_records, double millions) {
  std::filesystem::remove_all(directory);
  SystemClock clock;
  Metrics metrics;
  LocalSettings settings;
  settings.directory = directory;
  auto opened = open_local(settings, {posix_file_system(), clock, metrics});
  if (!opened) {
    fmt::print("{}\n", opened.error().message);
    std::exit(1);
  }
  const std::unique_ptr<LocalLog> log = *std::move(opened);
  std::vector<AppendRequest> bodies;
  for (std::size_t i = 0; i < organisations; ++i) {
    bodies.push_back(make_body(OrganisationId{i + 1}, ','));
    bodies.back().groups[0].records.resize(body_records);
  }
  std::counting_semaphore<> window(body_records > 1 ? 32 : 4'096);
  const auto count = static_cast<std::size_t>(millions * 1e6) / body_records;
  const Cost begin = now();
  for (std::size_t i = 0; i < count; ++i) {
    window.acquire();
    log->append(bodies[i % organisations], [&](Result<void> result) {
      if (!result) std::abort();
      window.release();
    });
  }
  for (int i = 0; i < (body_records > 1 ? 32 : 4'096); ++i) window.acquire();
  print(name, begin, millions);

  const Cost read_begin = now();
  std::uint64_t records = 0;
  for (std::size_t i = 0; i < organisations; ++i) {
    const auto reader = log->reader(OrganisationId{i + 1}, KindSet{Kind::Event});
    for (Offset at;;) {
      const Result<ReadResult> read = reader->read(at);
      if (!read || read->resume == at) break;
      if (read->chunk) records += read->chunk->count();
      at = read->resume;
    }
  }
  print("  read back", read_begin, static_cast<double>(records) / 1e6);
}

// Not from the page cache: as a stream reads that was away for a week.
void forget_pages(const std::string& directory) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    ::fdatasync(file);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
}

void bench_cold(const std::string& directory, std::size_t organisations, double millions) {
  std::filesystem::remove_all(directory);
  SystemClock clock;
  Metrics metrics;
  LocalSettings settings;
  settings.directory = directory;
  settings.partitions = 1;
  auto log = open_local(settings, {posix_file_system(), clock, metrics});
  if (!log) std::abort();
  for (std::size_t i = 0; i < static_cast<std::size_t>(millions * 1e6 / kBodyRecords); ++i) {
    std::binary_semaphore stored(0);
    (*log)->append(make_body(OrganisationId{i % organisations + 1}, ','), [&](Result<void> result) {
      if (!result) std::abort();
      stored.release();
    });
    stored.acquire();
  }
  log->reset();
  log = open_local(settings, {posix_file_system(), clock, metrics});
  if (!log) std::abort();
  forget_pages(directory);
  const Cost begin = now();
  std::uint64_t records = 0;
  const auto reader = (*log)->reader(OrganisationId{1}, KindSet{Kind::Event});
  for (Offset at;;) {
    const Result<ReadResult> read = reader->read(at);
    if (!read || read->resume == at) break;
    if (read->chunk) records += read->chunk->count();
    at = read->resume;
  }
  print("cold, 1 of 100 organisations", begin, static_cast<double>(records) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print("usage: recordlog_bench DIRECTORY [records_millions]\n");
    return 2;
  }
  const std::string directory = std::string(argv[1]) + "/recordlog_bench_data";
  const double millions = argc > 2 ? std::atof(argv[2]) : 2;
  bench_frame("frame, contiguous", ',', millions);
  bench_frame("frame, gathered", ' ', millions);
  bench_log("append, 1 organisation", directory, 1, kBodyRecords, millions);
  bench_log("append, 1,000 organisations", directory, 1'000, kBodyRecords, millions);
  bench_log("append, bodies of 1 record", directory, 1'000, 1, millions / 4);
  bench_cold(directory, 100, millions);
  std::filesystem::remove_all(directory);
  return 0;
}
