#include "recordlog/local/segment.h"

#include <algorithm>

#include "base/logging.h"
#include "recordlog/local/recovery.h"

namespace sluice::recordlog {
namespace {

std::vector<IndexEntry> find_in(std::span<const IndexEntry> entries, Offset from,
                                std::size_t count_max) {
  const auto found = std::partition_point(
      entries.begin(), entries.end(),
      [&](const IndexEntry& entry) { return entry.end_offset() <= from.value(); });
  const auto left = static_cast<std::size_t>(entries.end() - found);
  return {found, found + static_cast<std::ptrdiff_t>(std::min(left, count_max))};
}

std::optional<IndexEntry> find_stored_in(std::span<const IndexEntry> entries, WallTime time) {
  const auto found =
      std::partition_point(entries.begin(), entries.end(),
                           [&](const IndexEntry& entry) { return entry.stored_ms < time.ms; });
  if (found == entries.end()) return std::nullopt;
  return *found;
}

}  // namespace

Segment::Segment(SegmentId id, const SegmentIndex& index, std::uint64_t bytes)
    : id_(id),
      bytes_(bytes),
      first_offsets_(first_offsets(index)),
      newest_stored_(index.newest_stored),
      lost_records_max_(index.lost_records_max) {}

Segment::Segment(SegmentId id, WallTime created, GrowingIndex index, std::uint64_t bytes)
    : id_(id), created_(created), bytes_(bytes), growing_(std::move(index)) {}

std::vector<Segment::FirstOffset> Segment::first_offsets(const SegmentIndex& index) {
  std::vector<FirstOffset> firsts;
  firsts.reserve(index.organisations.size());
  for (const IndexOrganisation& organisation : index.organisations) {
    firsts.push_back(
        {OrganisationId{organisation.organisation}, Offset{organisation.first_offset}});
  }
  return firsts;
}

bool Segment::sealed() const {
  const MutexLock lock(mutex_);
  return !growing_;
}

WallTime Segment::newest_stored() const {
  const MutexLock lock(mutex_);
  return growing_ ? growing_->newest_stored() : newest_stored_;
}

std::uint64_t Segment::lost_records_max() const {
  const MutexLock lock(mutex_);
  return growing_ ? growing_->lost_records_max() : lost_records_max_;
}

std::vector<OrganisationId> Segment::organisations() const {
  const MutexLock lock(mutex_);
  if (growing_) return growing_->organisations();
  std::vector<OrganisationId> ids;
  ids.reserve(first_offsets_.size());
  for (const FirstOffset& first : first_offsets_) ids.push_back(first.organisation);
  return ids;
}

std::optional<Offset> Segment::first_offset(OrganisationId organisation) const {
  const MutexLock lock(mutex_);
  if (growing_) {
    const auto entries = growing_->entries_of(organisation);
    if (entries.empty()) return std::nullopt;
    return Offset{entries.front().first_offset};
  }
  const auto found = std::lower_bound(
      first_offsets_.begin(), first_offsets_.end(), organisation,
      [](const FirstOffset& first, OrganisationId id) { return first.organisation < id; });
  if (found == first_offsets_.end() || found->organisation != organisation) return std::nullopt;
  return found->first;
}

template <class Search>
auto Segment::search(OrganisationId organisation, LogContext& context, Search search) const
    -> Result<decltype(search(std::span<const IndexEntry>()))> {
  {
    const MutexLock lock(mutex_);
    if (growing_) return search(growing_->entries_of(organisation));
  }
  const auto index = load_index(context);
  if (!index) return index.error();
  return search((*index)->entries_of(organisation));
}

Result<std::vector<IndexEntry>> Segment::find(OrganisationId organisation, Offset from,
                                              std::size_t count_max, LogContext& context) const {
  return search(organisation, context, [&](std::span<const IndexEntry> entries) {
    return find_in(entries, from, count_max);
  });
}

Result<std::optional<IndexEntry>> Segment::find_stored(OrganisationId organisation, WallTime time,
                                                       LogContext& context) const {
  return search(organisation, context,
                [&](std::span<const IndexEntry> entries) { return find_stored_in(entries, time); });
}

Result<std::shared_ptr<const SegmentIndex>> Segment::load_index(LogContext& context) const {
  if (auto cached = context.indexes.get(id_)) return cached;
  const Result<std::shared_ptr<const File>> file = context.open_segment(id_);
  if (!file) return file.error();
  Result<SegmentIndex> read = read_index(**file);
  if (!read && read.error().code != ErrorCode::Corruption) return read.error();
  if (!read) {
    logging::error("the index of a segment is damaged and was rebuilt from its chunks",
                   {{"file", context.segment_path(id_)}});
    const Result<ScannedSegment> scanned = scan_segment(**file, SyncedEnd{});
    if (!scanned) return scanned.error();
    read = scanned->index.finish();
  }
  auto index = std::make_shared<const SegmentIndex>(*std::move(read));
  context.indexes.put(id_, index, index->memory_bytes());
  return index;
}

void Segment::add(std::span<const NewEntry> entries, std::span<const IndexMark> marks,
                  std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  growing_->add_marks(marks);
  for (const NewEntry& added : entries) growing_->add(added.organisation, added.entry);
  bytes_.store(bytes, std::memory_order_relaxed);
}

SegmentIndex Segment::finish_index() const {
  const MutexLock lock(mutex_);
  return growing_->finish();
}

std::vector<IndexMark> Segment::marks() const {
  const MutexLock lock(mutex_);
  return growing_ ? growing_->marks() : std::vector<IndexMark>();
}

void Segment::become_sealed(const SegmentIndex& index, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  first_offsets_ = first_offsets(index);
  newest_stored_ = index.newest_stored;
  lost_records_max_ = index.lost_records_max;
  growing_.reset();
  bytes_.store(bytes, std::memory_order_relaxed);
}

}  // namespace sluice::recordlog
