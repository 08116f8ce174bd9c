#pragma once
// One partition of the log: its queue, its commit thread and its segments.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "recordlog/local/group_builder.h"
#include "recordlog/local/group_pacer.h"
#include "recordlog/local/log_context.h"
#include "recordlog/local/partition_files.h"
#include "recordlog/local/recent_frames.h"
#include "recordlog/local/recovery.h"
#include "recordlog/local/segment.h"
#include "recordlog/local/segment_writer.h"

namespace sluice::recordlog {

// One append() on its way: shared by the partitions that have a part in it.
struct PendingAppend {
  AppendRequest request;
  AppendDone done;
  std::uint64_t bytes = 0;
  std::atomic<std::uint32_t> parts_left = 0;
  Mutex mutex;
  std::optional<Error> error SLUICE_GUARDED_BY(mutex);  // of the first part that failed
};

class Partition {
 public:
  struct Part {
    std::shared_ptr<PendingAppend> append;
    std::vector<std::uint32_t> groups;  // indexes into append->request.groups
    std::uint64_t bytes = 0;
  };

  Partition(LogContext& context, std::uint32_t number, RecoveredPartition recovered);
  ~Partition();  // after stop()

  // Threads: any, until stop().
  void push(Part part);
  Offset end(OrganisationId organisation) const;
  std::shared_ptr<const SegmentList> segments() const;
  const RecentFrames& recent_frames() const { return recent_frames_; }
  Result<void> health() const;
  void run_retention();  // waits for it

  // Finishes what waits, seals, writes the mark and joins.
  void stop();

 private:
  void run();
  void finish();
  void commit_now();  // without a thread of our own
  bool wait_for_work(std::vector<Part>& parts);
  void commit(std::vector<Part>& parts);
  Result<void> write_chunks(std::span<PreparedChunk> chunks);
  Result<void> write_run(std::span<PreparedChunk> chunks);
  void keep_for_readers(const PreparedChunk& chunk, std::uint64_t position);
  void publish(std::span<const PreparedChunk> chunks, std::uint64_t bytes);

  Result<void> begin_segment();
  void seal_segment();
  void abandon_segment();
  void end_segment();
  void publish_segments(SegmentList segments);

  void keep_house(bool retention_wanted);
  void write_mark();
  void apply_retention();
  Result<void> note_offsets_beside(const SegmentList& kept);
  Result<void> make_room();
  bool delete_early();
  Result<bool> is_passed(const Segment& segment, const LowestCursors& cursors);
  bool drop_before(SegmentList::const_iterator first_kept, const SegmentList& list);
  void delete_doomed();

  LogContext& context_;
  const std::uint32_t number_;
  const std::vector<std::string> recovery_problems_;

  // The commit thread's own.
  bool ended_ = false;
  GroupBuilder builder_;
  GroupPacer pacer_;
  std::vector<iovec> pieces_;
  std::vector<Segment::NewEntry> entries_;
  std::vector<IndexMark> marks_;
  std::vector<RecentFrames::Frame> small_frames_;  // of the group, that someone may want to read
  std::unique_ptr<SegmentWriter> writer_;          // null: the next append begins a segment
  std::shared_ptr<Segment> active_;                // what writer_ writes
  std::uint64_t index_entries_ = 0;                // of active_: chunks and marks
  NextOffsets next_offsets_;
  NextOffsets noted_offsets_;
  WallTime last_stored_;
  std::uint64_t next_sequence_;
  SyncedMarkFile mark_file_;
  SyncedMark mark_;
  SyncedMark written_mark_;
  SteadyTime mark_due_;
  SteadyTime retention_due_;
  SteadyTime early_deletion_due_;
  RecentFrames recent_frames_;
  SegmentList doomed_;  // no longer in the list, still to be deleted

  mutable Mutex mutex_;
  CondVar wake_;
  CondVar retention_ran_;
  std::vector<Part> queue_ SLUICE_GUARDED_BY(mutex_);
  bool stopping_ SLUICE_GUARDED_BY(mutex_) = false;
  std::uint64_t retention_wanted_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::uint64_t retention_done_ SLUICE_GUARDED_BY(mutex_) = 0;
  NextOffsets ends_ SLUICE_GUARDED_BY(mutex_);
  std::shared_ptr<const SegmentList> segments_ SLUICE_GUARDED_BY(mutex_);
  std::optional<Error> failure_ SLUICE_GUARDED_BY(mutex_);  // since the last good commit

  std::thread thread_;
};

}  // namespace sluice::recordlog
