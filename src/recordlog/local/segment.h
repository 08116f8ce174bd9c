#pragma once
// One segment as readers see it: what is on stable storage of it and where each
// chunk lies. Shared by the partition's list and by readers that hold an older
// list.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "recordlog/local/log_context.h"

namespace sluice::recordlog {

// Threads: any for the const members; the others belong to the partition's
// commit thread.
class Segment {
 public:
  struct NewEntry {
    OrganisationId organisation;
    IndexEntry entry;
  };

  // A sealed one; `index` needs no entries: they are read from the file when
  // wanted.
  Segment(SegmentId id, const SegmentIndex& index, std::uint64_t bytes);
  // One that grows, or that could not be sealed: its index stays in memory.
  Segment(SegmentId id, WallTime created, GrowingIndex index, std::uint64_t bytes);

  SegmentId id() const { return id_; }
  bool sealed() const;
  // Of the file; unless sealed, up to behind the last chunk that counts.
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  WallTime created() const { return created_; }
  WallTime newest_stored() const;
  std::uint64_t lost_records_max() const;
  std::vector<OrganisationId> organisations() const;
  std::optional<Offset> first_offset(OrganisationId organisation) const;

  // The first entries that end behind `from`, at most `count_max`. Io: the footer could not be
  // read; NotFound: retention was faster. A damaged footer is rebuilt.
  Result<std::vector<IndexEntry>> find(OrganisationId organisation, Offset from,
                                       std::size_t count_max, LogContext& context) const;
  // The first entry stored at `time` or later.
  Result<std::optional<IndexEntry>> find_stored(OrganisationId organisation, WallTime time,
                                                LogContext& context) const;

  void add(std::span<const NewEntry> entries, std::span<const IndexMark> marks,
           std::uint64_t bytes);
  SegmentIndex finish_index() const;
  std::vector<IndexMark> marks() const;  // none of a sealed one: they are in its footer
  void become_sealed(const SegmentIndex& index, std::uint64_t bytes);

 private:
  struct FirstOffset {
    OrganisationId organisation;
    Offset first;
  };
  static std::vector<FirstOffset> first_offsets(const SegmentIndex& index);
  Result<std::shared_ptr<const SegmentIndex>> load_index(LogContext& context) const;
  template <class Search>
  auto search(OrganisationId organisation, LogContext& context, Search search) const
      -> Result<decltype(search(std::span<const IndexEntry>()))>;

  const SegmentId id_;
  const WallTime created_;  // 0: sealed in an earlier run
  std::atomic<std::uint64_t> bytes_;
  mutable Mutex mutex_;
  std::optional<GrowingIndex> growing_ SLUICE_GUARDED_BY(mutex_);     // none: sealed
  std::vector<FirstOffset> first_offsets_ SLUICE_GUARDED_BY(mutex_);  // sealed; by organisation
  WallTime newest_stored_ SLUICE_GUARDED_BY(mutex_);
  std::uint64_t lost_records_max_ SLUICE_GUARDED_BY(mutex_) = 0;
};

// A partition's segments by sequence, which is by age. Immutable.
using SegmentList = std::vector<std::shared_ptr<Segment>>;

}  // namespace sluice::recordlog
