#pragma once
// Which chunks a segment holds: as the footer of a sealed segment, and in
// memory while it grows.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/flat_map.h"
#include "base/fs.h"
#include "base/result.h"
#include "model/ids.h"
#include "recordlog/local/format.h"

namespace sluice::recordlog {

// The index of one segment. Immutable once built; shared by readers through a
// bounded cache.
struct SegmentIndex {
  std::vector<IndexOrganisation> organisations;  // by id
  std::vector<IndexEntry> entries;               // by organisation, then offset
  WallTime newest_stored;
  // Records that damage took at most, of which not even the organisation is
  // known. 0: none.
  std::uint64_t lost_records_max = 0;

  const IndexOrganisation* find(OrganisationId organisation) const;
  std::span<const IndexEntry> entries_of(OrganisationId organisation) const;
  std::uint64_t memory_bytes() const;
};

// The entry of a chunk whose frame lies at `position`.
IndexEntry make_entry(const ChunkHeader& header, std::uint64_t position, bool damaged);

// A segment's entries while chunks are still added.
class GrowingIndex {
 public:
  // In the order of the file.
  void add(OrganisationId organisation, const IndexEntry& entry);
  void add_marks(const ChunkHeader& header, std::span<const ChunkMark> marks) {
    for (const ChunkMark& mark : marks) marks_.push_back({mark, header.stored_ms});
  }
  void add_marks(std::span<const IndexMark> marks) {
    marks_.insert(marks_.end(), marks.begin(), marks.end());
  }
  void add_lost(std::uint64_t records_max) { lost_records_max_ += records_max; }
  std::span<const IndexEntry> entries_of(OrganisationId organisation) const;
  std::vector<OrganisationId> organisations() const;
  bool empty() const { return entries_.empty() && lost_records_max_ == 0; }
  WallTime newest_stored() const { return newest_stored_; }
  std::uint64_t lost_records_max() const { return lost_records_max_; }
  const std::vector<IndexMark>& marks() const { return marks_; }
  SegmentIndex finish() const;

 private:
  FlatMap<OrganisationId, std::vector<IndexEntry>> entries_;
  std::vector<IndexMark> marks_;
  WallTime newest_stored_;
  std::uint64_t lost_records_max_ = 0;
};

// The footer: index frame and trailer, to be written at `position`.
std::string encode_footer(const SegmentIndex& index, std::span<const IndexMark> marks,
                          std::uint64_t position);

// The whole index of a sealed segment. Corruption: not sealed, or its footer is
// damaged.
Result<SegmentIndex> read_index(const File& file);
// The same without entries: what is kept in memory of a sealed segment.
Result<SegmentIndex> read_index_organisations(const File& file);
// The marks of all its chunks, in the order of the file.
Result<std::vector<IndexMark>> read_index_marks(const File& file);

}  // namespace sluice::recordlog
