#pragma once
// The stream journal: where every stream stands. Bytes: docs/formats/stream-journal.md.
//
// One journal and one commit thread for the process, not one per I/O thread as first designed: the
// number of threads may change between two starts, and one fdatasync serves the streams of all.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/fs.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/result.h"
#include "dispatch/journal_entry.h"

namespace sluice::dispatch {

// Durability: an entry whose Done got no error survives everything but damage to the disk; one
// whose Done got an error may or may not have. Failure: after a failed write or sync a file is
// never appended to again; the next group of entries begins a new file with the state of all
// streams, and so on until one succeeds.
class Journal {
 public:
  // Called once, on the commit thread: hand over quickly, do not block.
  using Done = std::function<void(Result<void>)>;

  struct Options {
    // A file is compacted when it is larger than this and than four times its live state.
    std::uint64_t compact_bytes = 4 * 1024 * 1024;
    // False, for the simulator: append() commits before it returns, on the calling thread.
    bool own_thread = true;
  };

  // Reads what is there. Damage is copied to <directory>/quarantine, logged and passed over. Io:
  // the directory cannot be made or listed. Corruption: written by another version of Sluice.
  static Result<std::unique_ptr<Journal>> open(std::string directory, FileSystem& fs,
                                               Metrics& metrics, Options options);
  static Result<std::unique_ptr<Journal>> open(std::string directory, FileSystem& fs,
                                               Metrics& metrics) {
    return open(std::move(directory), fs, metrics, Options{});
  }
  ~Journal();  // stop()
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // The stream's entry as read by open(); later appends do not change it. It may not have been
  // durable: append it again before anything is done that it must not be forgotten for.
  std::optional<JournalEntry> recovered(StreamId stream) const;

  // Threads: any. Entries of one thread reach the file in the order of the calls. `done` may be
  // empty. Cancelled after stop(), on the calling thread.
  void append(const JournalEntry& entry, Done done);

  // Writes what waits, then ends the commit thread. Blocks.
  void stop();

 private:
  struct Waiting {
    JournalEntry entry;
    Done done;
  };
  using Group = std::vector<Waiting>;

  Journal(std::string directory, FileSystem& fs, Metrics& metrics, Options options);
  Result<void> recover();
  Result<void> recover_file(std::uint64_t sequence);
  Result<void> check_version(JournalHeader header, std::uint64_t sequence) const;
  void quarantine(const File& file, std::uint64_t sequence, std::uint64_t from);
  void move_to_quarantine(std::uint64_t sequence);
  void apply(const JournalEntry& entry);

  void run();
  void commit(Group group);
  Result<void> write(const Group& group);
  Result<void> append_to_file(const Group& group);
  Result<void> begin_file(const Group& group);
  void remove_old_files();
  std::string path_of(std::uint64_t sequence) const;

  const std::string directory_;
  FileSystem& fs_;
  const Options options_;
  Histogram sync_seconds_;

  // The commit thread's, after open().
  std::unordered_map<StreamId, JournalEntry> state_;
  std::unordered_set<StreamId> removed_;  // while an older file may still name them
  std::vector<std::uint64_t> old_files_;  // sequences, ascending; removed when superseded
  std::uint64_t sequence_ = 0;            // of the newest file ever seen
  std::unique_ptr<File> file_;            // null: the next group begins a new one
  std::uint64_t file_bytes_ = 0;
  bool failing_ = false;  // said so in the log

  std::unordered_map<StreamId, JournalEntry> recovered_;

  Mutex mutex_;
  CondVar changed_;
  Group waiting_ SLUICE_GUARDED_BY(mutex_);
  bool stopping_ SLUICE_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice::dispatch
