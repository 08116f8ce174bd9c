// Several threads append, others read along, on the real file system.

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "recordlog/inspect.h"
#include "recordlog/local/log_test_support.h"

namespace sluice::recordlog {
namespace {

class Directory {
 public:
  Directory() {
    std::string pattern = std::filesystem::temp_directory_path() / "sluice-recordlog-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path = pattern;
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string path;
};

// Counts down from the log's threads; the test waits for zero.
class Latch {
 public:
  void add() {
    const MutexLock lock(mutex_);
    ++waiting_;
  }
  void done() {
    const MutexLock lock(mutex_);
    if (--waiting_ == 0) zero_.notify_all();
  }
  void wait() {
    const MutexLock lock(mutex_);
    while (waiting_ > 0) zero_.wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar zero_;
  int waiting_ SLUICE_GUARDED_BY(mutex_) = 0;
};

TEST(LogConcurrency, ReadersFollowSeveralWritersWithoutGapOrRepeat) {
  constexpr int kWriters = 4;
  constexpr int kOrganisations = 6;
  constexpr int kRequests = 150;
  constexpr int kRecords = 5;
  Directory directory;
  TestLog log(posix_file_system());
  log.settings.directory = directory.path;
  log.settings.partitions = 3;
  log.settings.segment_bytes = 256 * kKiB;
  log.settings.chunk_cache_bytes_max = 64 * kKiB;
  log.settings.index_cache_bytes_max = 4 * kKiB;
  log.settings.recent_bytes_max = 64 * kKiB;
  ASSERT_TRUE(log.open());

  // Each writer's ids grow for each organisation; nothing is said about writers among each other.
  Latch latch;
  std::atomic<int> failed = 0;
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < kRequests; ++i) {
        RequestMaker maker;
        for (int o = 0; o < kOrganisations; ++o) {
          const OrganisationId organisation{static_cast<std::uint64_t>(o)};
          maker.group(organisation, i % 2 == 0 ? Kind::Event : Kind::Usage);
          for (int r = 0; r < kRecords; ++r) {
            const std::int64_t id = (w * kRequests + i) * kRecords + r;
            maker.record(record_text(organisation, id, 100), id);
          }
        }
        latch.add();
        log->append(maker.make(), [&](Result<void> result) {
          failed += result ? 0 : 1;
          latch.done();
        });
      }
    });
  }

  constexpr std::uint64_t kTotal = kWriters * kRequests * kRecords;
  std::vector<std::thread> readers;
  std::atomic<int> wrong = 0;
  for (int o = 0; o < kOrganisations; ++o) {
    readers.emplace_back([&, o] {
      const OrganisationId organisation{static_cast<std::uint64_t>(o)};
      const auto reader = log->reader(organisation, kAllKinds);
      std::vector<std::int64_t> newest(kWriters, -1);
      for (Offset at; at < Offset{kTotal};) {
        const Result<ReadResult> read = reader->read(at);
        if (!read || read->damaged + read->aged_out > 0) {
          ++wrong;
          return;
        }
        if (read->chunk) {
          const Chunk& chunk = *read->chunk;
          const std::uint64_t skip = at.value() - chunk.first.value();
          for (auto i = static_cast<std::uint32_t>(skip); i < chunk.count(); ++i) {
            const std::int64_t id = chunk.columns[i].id;
            std::int64_t& before = newest[static_cast<std::size_t>(id / (kRequests * kRecords))];
            if (id <= before || chunk.record(i) != record_text(organisation, id, 100)) ++wrong;
            before = id;
          }
        }
        if (read->resume == at) std::this_thread::yield();
        at = read->resume;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  for (std::thread& reader : readers) reader.join();
  latch.wait();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(log->health());
  log.close();

  std::uint64_t records = 0;
  ASSERT_TRUE(
      for_each_record(posix_file_system(), directory.path, [&](const FoundRecord&) { ++records; }));
  EXPECT_EQ(records, kTotal * kOrganisations);
  const auto findings = verify_log(posix_file_system(), directory.path);
  ASSERT_TRUE(findings);
  EXPECT_TRUE(findings->empty());
}

TEST(LogConcurrency, RetentionStatisticsAndSearchRunBesideAppendsAndReads) {
  testing::FaultyDisk disk;
  TestLog log(disk);
  log.settings.partitions = 2;
  log.settings.retention_s = 100;
  ASSERT_TRUE(log.open());
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::thread reader([&] {
    while (!stop) {
      const ReadAll all = read_all(*log, OrganisationId{1});
      if (all.error || all.damaged > 0) ++wrong;
      if (!log->offset_at(OrganisationId{1}, log.clock.now())) ++wrong;
      log->statistics();
      if (!log->health()) ++wrong;
    }
  });
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(log.append(OrganisationId{1 + static_cast<std::uint64_t>(i % 3)}, i * 3, 3, 2'000));
    log.clock.advance_s(3);
    if (i % 10 == 9) log->run_retention();
  }
  stop = true;
  reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LT(log->statistics().segments, 30u) << "retention ran";
}

}  // namespace
}  // namespace sluice::recordlog
