#include "recordlog/local/recovery.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>

#include "base/logging.h"
#include "base/units.h"
#include "recordlog/local/scan.h"
#include "recordlog/local/segment_writer.h"

namespace sluice::recordlog {
namespace {

// More than fit into a segment of the greatest size: how far offsets jump where
// one is missing.
constexpr std::uint64_t kLostWithASegment = 1 << 25;

using Found = FrameWalker::Found;

struct Piece {
  Found found;
  std::uint64_t position;
  std::uint64_t bytes;
  ChunkHeader header;
  std::vector<ChunkMark> marks;
};

// Ends at an index frame, at zeros or at the end of the file.
Result<std::vector<Piece>> walk(const File& file, Piece& last) {
  std::vector<Piece> pieces;
  FrameWalker walker(file);
  for (;;) {
    const Result<FrameWalker::Step> step = walker.next();
    if (!step) return step.error();
    last = {step->found, step->position, step->bytes, step->header, {}};
    if (step->found == Found::End || step->found == Found::Index) return pieces;
    pieces.push_back(last);
    if (step->found == Found::Chunk) pieces.back().marks = read_marks(step->frame, step->header);
  }
}

// Records that so many bytes could have held.
constexpr std::uint64_t lost_in(std::uint64_t bytes) { return bytes / kRecordBytesMin + 1; }

ChunkHeader unknown_gap(std::uint64_t lost_records_max) {
  ChunkHeader gap;
  gap.magic = kGapMagic;
  gap.frame_bytes = sizeof(gap);
  gap.first_offset = lost_records_max;
  return gap;
}

std::uint64_t group_begin(const Piece& chunk) {
  const std::uint64_t group_bytes = chunk.header.group_bytes;
  return chunk.position - std::min(group_bytes, chunk.position);
}

class PartitionRecovery {
 public:
  PartitionRecovery(LogContext& context, std::uint32_t partition, RecoveryMode mode)
      : context_(context),
        partition_(partition),
        repairs_(mode == RecoveryMode::Repair),
        directory_(context.partition_directory(partition)) {}

  Result<RecoveredPartition> run();

 private:
  Result<std::vector<std::uint64_t>> list_segments();
  Result<void> read_small_files();
  Result<void> recover_segment(std::uint64_t sequence, bool newest);
  Result<void> take_marks(const File& file, const SegmentIndex& index);
  Result<void> recover_unsealed(SegmentId id, bool newest);
  Result<void> check_header(const File& file, SegmentId id);
  Result<void> make_durable(File& file, const ScannedSegment& scanned);
  bool move_to_quarantine(const File& file, SegmentId id, const ScannedSegment& scanned);
  std::shared_ptr<Segment> seal_or_keep(File& file, SegmentId id, ScannedSegment scanned);
  void take_offsets(const SegmentIndex& index);
  void lose_records(std::uint64_t records_max);
  Result<void> account_missing(std::uint64_t first, std::uint64_t end);
  Result<void> mend_header(const File& file, SegmentId id);
  Result<bool> is_sound(const File& file);
  Result<void> fill_gaps(File& file, const ScannedSegment& scanned);
  Result<void> write_stand_in(SegmentId id);

  LogContext& context_;
  const std::uint32_t partition_;
  const bool repairs_;
  const std::string directory_;
  std::optional<SyncedMark> mark_;
  RecoveredPartition result_;
};

Result<RecoveredPartition> PartitionRecovery::run() {
  const Result<std::vector<std::uint64_t>> sequences = list_segments();
  if (!sequences) return sequences.error();
  if (auto read = read_small_files(); !read) return read.error();
  // What the last process renamed or created may not be on stable storage yet; we build on it.
  if (auto synced = context_.fs.sync_directory(directory_); !synced) return synced.error();
  for (const std::uint64_t sequence : *sequences) {
    if (sequence != sequences->front()) {
      if (auto done = account_missing(result_.next_sequence, sequence); !done) return done.error();
    }
    result_.next_sequence = sequence + 1;
    if (auto done = recover_segment(sequence, sequence == sequences->back()); !done) {
      return done.error();
    }
  }
  if (mark_ && mark_->sequence >= result_.next_sequence) {
    // Without any segment, retention has deleted what the mark speaks of, and noted the offsets.
    if (!sequences->empty() || result_.noted_offsets.empty()) {
      const std::uint64_t first = sequences->empty() ? mark_->sequence : result_.next_sequence;
      auto done = account_missing(first, mark_->sequence + 1);
      if (!done) return done.error();
    }
    result_.next_sequence = mark_->sequence + 1;
  }
  return std::move(result_);
}

// Also removes what a crash left half made.
Result<std::vector<std::uint64_t>> PartitionRecovery::list_segments() {
  const Result<std::vector<std::string>> names = context_.fs.list(directory_);
  if (!names) return names.error();
  std::vector<std::uint64_t> sequences;
  for (const std::string& name : *names) {
    if (const auto sequence = sequence_from_name(name)) {
      sequences.push_back(*sequence);
    } else if (name.ends_with(".tmp")) {
      if (auto removed = context_.fs.remove(directory_ + "/" + name); !removed) {
        return removed.error();
      }
    }
  }
  return sequences;
}

Result<void> PartitionRecovery::read_small_files() {
  const Result<std::optional<SyncedMark>> mark = SyncedMarkFile(context_.fs, directory_).read();
  if (!mark) return mark.error();
  mark_ = *mark;
  const Result<NextOffsets> offsets = read_next_offsets(context_.fs, directory_);
  if (!offsets && offsets.error().code != ErrorCode::Corruption) return offsets.error();
  if (!offsets) {
    result_.problems.push_back(offsets.error().message);
    return {};
  }
  result_.noted_offsets = *offsets;
  result_.next_offsets = *offsets;
  return {};
}

Result<void> PartitionRecovery::recover_segment(std::uint64_t sequence, bool newest) {
  const SegmentId id{partition_, sequence};
  const Result<std::shared_ptr<const File>> file = context_.open_segment(id);
  if (!file) return file.error();
  if (auto checked = check_header(**file, id); !checked) return checked;
  if (repairs_) {
    if (auto mended = mend_header(**file, id); !mended) return mended;
    const Result<bool> sound = is_sound(**file);
    if (!sound) return sound.error();
    if (!*sound) return recover_unsealed(id, newest);
  }
  const Result<SegmentIndex> index = read_index_organisations(**file);
  const Result<void> read = index ? take_marks(**file, *index) : index.error();
  if (!read) {
    if (read.error().code != ErrorCode::Corruption) return read;
    return recover_unsealed(id, newest);
  }
  const Result<std::uint64_t> size = (*file)->size();
  if (!size) return size.error();
  result_.segments.push_back(std::make_shared<Segment>(id, *index, *size));
  take_offsets(*index);
  return {};
}

// Of a sealed segment, unless all its requests are to be forgotten.
Result<void> PartitionRecovery::take_marks(const File& file, const SegmentIndex& index) {
  const std::int64_t kept_ms = context_.settings.request_keys_kept_s * 1000;
  if (index.newest_stored.ms < context_.clock.now().ms - kept_ms) return {};
  const Result<std::vector<IndexMark>> marks = read_index_marks(file);
  if (!marks) return marks.error();
  context_.marks.add(*marks);
  return {};
}

// A damaged header is no more than damage; a good one of another log stops the
// start.
Result<void> PartitionRecovery::check_header(const File& file, SegmentId id) {
  std::string bytes(sizeof(SegmentHeader), '\0');
  const Result<std::size_t> got = file.read_at(0, bytes);
  if (!got) return got.error();
  const auto header = read_segment_header(std::string_view(bytes).substr(0, *got));
  if (!header) return {};
  if (header->version != kFormatVersion) {
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("{} has format version {}; this program reads version {}",
                             context_.segment_path(id), header->version, kFormatVersion)};
  }
  if (header->partition != partition_ || header->partitions != context_.settings.partitions) {
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("{} belongs to partition {} of {}, not to {} of {}",
                             context_.segment_path(id), header->partition, header->partitions,
                             partition_, context_.settings.partitions)};
  }
  return {};
}

Result<void> PartitionRecovery::recover_unsealed(SegmentId id, bool newest) {
  const std::string path = context_.segment_path(id);
  const Result<std::unique_ptr<File>> file = context_.fs.open(path, OpenMode::ReadWrite);
  if (!file) return file.error();
  std::shared_ptr<const File> next_segment;
  if (!newest) {
    auto opened = context_.open_segment({id.partition, id.sequence + 1});
    if (!opened && opened.error().code != ErrorCode::NotFound) return opened.error();
    if (opened) next_segment = *opened;
  }
  const Result<SyncedEnd> end = find_synced_end(id.sequence, next_segment.get(), mark_);
  if (!end) return end.error();
  Result<ScannedSegment> scanned = scan_segment(**file, *end);
  if (!scanned) return scanned.error();
  if (auto confirmed = make_durable(**file, *scanned); !confirmed) return confirmed;
  const bool moved = move_to_quarantine(**file, id, *scanned);
  if (moved && repairs_) {
    if (auto filled = fill_gaps(**file, *scanned); !filled) return filled;
    scanned = scan_segment(**file, *end);  // its index is of the gaps now
    if (!scanned) return scanned.error();
  }
  if (newest && moved && scanned->index.empty()) {
    context_.files.erase(id);
    if (context_.fs.remove(path)) {
      result_.next_sequence = id.sequence;
      return {};
    }
  }
  take_offsets(scanned->index.finish());
  context_.marks.add(scanned->index.marks());
  if (moved) {
    result_.segments.push_back(seal_or_keep(**file, id, *std::move(scanned)));
  } else {
    const std::uint64_t bytes = scanned->frames_end;
    result_.segments.push_back(
        std::make_shared<Segment>(id, WallTime{}, std::move(scanned->index), bytes));
  }
  return {};
}

// What was read is about to be shown, so it must stay, but it may be in the page cache only: of
// the last commit group nobody knows whether its sync succeeded, and after one that failed Linux
// takes the pages for clean. Written again, they are synced again.
Result<void> PartitionRecovery::make_durable(File& file, const ScannedSegment& scanned) {
  std::string bytes;
  for (std::uint64_t at = scanned.last_group; at < scanned.frames_end; at += bytes.size()) {
    bytes.resize(std::min(scanned.frames_end - at, 1 * kMiB));
    const Result<std::size_t> got = file.read_at(at, bytes);
    if (!got) return got.error();
    if (*got == 0) break;
    bytes.resize(*got);
    const iovec buffer{bytes.data(), bytes.size()};
    if (auto written = file.write_at(at, {&buffer, 1}); !written) return written;
  }
  return file.sync_data();
}

// False: a copy failed; the segment is to be left as it is, so that nothing
// gets lost.
bool PartitionRecovery::move_to_quarantine(const File& file, SegmentId id,
                                           const ScannedSegment& scanned) {
  bool moved = true;
  const auto keep = [&](ScannedSegment::Region region, Quarantine::Why why) {
    const Result<void> kept = context_.quarantine->keep(
        file, {id.partition, id.sequence, region.position}, region.bytes, why);
    if (kept) return;
    moved = false;
    logging::error("cannot copy to quarantine", {{"reason", kept.error().message}});
  };
  for (const ScannedSegment::Region& region : scanned.damage) {
    keep(region, Quarantine::Why::Damage);
  }
  if (scanned.torn_tail) keep(*scanned.torn_tail, Quarantine::Why::TornTail);
  return moved;
}

// Gives the segment its footer, so that the next start need not read all of it.
// Where that fails it is kept as it is.
std::shared_ptr<Segment> PartitionRecovery::seal_or_keep(File& file, SegmentId id,
                                                         ScannedSegment scanned) {
  const SegmentIndex index = scanned.index.finish();
  std::string footer = encode_footer(index, scanned.index.marks(), scanned.frames_end);
  const std::uint64_t size = scanned.frames_end + footer.size();
  const iovec buffer{footer.data(), footer.size()};
  Result<void> sealed = file.truncate(scanned.frames_end);
  if (sealed) sealed = file.write_at(scanned.frames_end, {&buffer, 1});
  if (sealed) sealed = file.sync_data();
  if (sealed) return std::make_shared<Segment>(id, index, size);
  logging::warn("cannot write the index of a segment", {{"reason", sealed.error().message}});
  return std::make_shared<Segment>(id, WallTime{}, std::move(scanned.index), scanned.frames_end);
}

void PartitionRecovery::take_offsets(const SegmentIndex& index) {
  for (const IndexOrganisation& organisation : index.organisations) {
    Offset& next_offset = result_.next_offsets[OrganisationId{organisation.organisation}];
    next_offset = std::max(next_offset, Offset{organisation.end_offset});
  }
  result_.last_stored = std::max(result_.last_stored, index.newest_stored);
  if (index.lost_records_max > 0) lose_records(index.lost_records_max);
}

// Nobody knows whose records were lost: every organisation's offsets jump over
// them. The jump is the same on each start, and dispatch never sees one offset
// stand for two records.
void PartitionRecovery::lose_records(std::uint64_t records_max) {
  for (auto& [organisation, next_offset] : result_.next_offsets) {
    next_offset = plus(next_offset, records_max);
  }
}

Result<void> PartitionRecovery::account_missing(std::uint64_t first, std::uint64_t end) {
  if (first >= end) return {};
  for (std::uint64_t sequence = first; sequence < end; ++sequence) {
    lose_records(kLostWithASegment);
    if (!repairs_) continue;
    if (auto written = write_stand_in({partition_, sequence}); !written) return written;
  }
  if (repairs_) return {};
  result_.problems.push_back(fmt::format("{} segments are missing from {} on", end - first,
                                         context_.segment_path({partition_, first})));
  logging::error("segments of the log are missing",
                 {{"first", context_.segment_path({partition_, first})}, {"count", end - first}});
  return {};
}

// --- repair

// What the header says is known from the name, but for `previous_end`: that speaks of a segment
// that was scanned, and given its footer, before this one.
Result<void> PartitionRecovery::mend_header(const File& file, SegmentId id) {
  std::string bytes(sizeof(SegmentHeader), '\0');
  const Result<std::size_t> got = file.read_at(0, bytes);
  if (!got) return got.error();
  const auto header = read_segment_header(std::string_view(bytes).substr(0, *got));
  if (header && header->sequence == id.sequence) return {};
  const Result<std::unique_ptr<File>> writable =
      context_.fs.open(context_.segment_path(id), OpenMode::ReadWrite);
  if (!writable) return writable.error();
  const SegmentHeader fresh = make_segment_header(context_, id, 0);
  const iovec piece{const_cast<SegmentHeader*>(&fresh), sizeof(fresh)};
  if (auto written = (*writable)->write_at(0, {&piece, 1}); !written) return written;
  return (*writable)->sync_data();
}

// Nothing is damaged, and the footer is what the chunks say.
Result<bool> PartitionRecovery::is_sound(const File& file) {
  const Result<ScannedSegment> scanned = scan_segment(file, SyncedEnd{});
  if (!scanned) return scanned.error();
  if (!scanned->damage.empty() || scanned->torn_tail) return false;
  const std::string footer =
      encode_footer(scanned->index.finish(), scanned->index.marks(), scanned->frames_end);
  std::string found(footer.size() + 1, '\0');
  const Result<std::size_t> got = file.read_at(scanned->frames_end, found);
  if (!got) return got.error();
  return std::string_view(found).substr(0, *got) == footer;
}

// Copies are in quarantine by now.
Result<void> PartitionRecovery::fill_gaps(File& file, const ScannedSegment& scanned) {
  const Result<std::uint64_t> size = file.size();
  if (!size) return size.error();
  for (const ScannedSegment::Region& region : scanned.damage) {
    const std::uint64_t room = align_up(region.bytes);
    const bool is_last = region.position + room >= scanned.frames_end;
    if (room < sizeof(ChunkHeader) && !is_last) continue;  // no frame was ever so short
    ChunkHeader gap = region.chunk.value_or(unknown_gap(lost_in(region.bytes)));
    gap.magic = kGapMagic;
    gap.frame_bytes = static_cast<std::uint32_t>(std::max(room, sizeof(ChunkHeader)));
    set_checksum(gap);
    const std::uint64_t end = region.position + gap.frame_bytes;
    if (end > *size) {  // the file ends in what is missing
      if (auto grown = file.truncate(end); !grown) return grown;
    }
    const iovec piece{&gap, sizeof(gap)};
    if (auto written = file.write_at(region.position, {&piece, 1}); !written) return written;
  }
  return {};
}

// In place of a missing segment: a gap alone.
Result<void> PartitionRecovery::write_stand_in(SegmentId id) {
  const SegmentHeader header = make_segment_header(context_, id, 0);
  ChunkHeader gap = unknown_gap(kLostWithASegment);
  set_checksum(gap);
  GrowingIndex index;
  index.add_lost(kLostWithASegment);
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(reinterpret_cast<const char*>(&gap), sizeof(gap));
  bytes += encode_footer(index.finish(), {}, bytes.size());
  return replace_file(context_.fs, directory_, segment_name(id.sequence), bytes);
}

}  // namespace

Result<SyncedEnd> find_synced_end(std::uint64_t sequence, const File* next_segment,
                                  const std::optional<SyncedMark>& mark) {
  if (next_segment != nullptr) {
    std::string bytes(sizeof(SegmentHeader), '\0');
    const Result<std::size_t> got = next_segment->read_at(0, bytes);
    if (!got) return got.error();
    const auto header = read_segment_header(std::string_view(bytes).substr(0, *got));
    if (header && header->previous_end > 0) return SyncedEnd{header->previous_end, true};
  }
  if (mark && mark->sequence == sequence) return SyncedEnd{mark->position, false};
  return SyncedEnd{};
}

namespace {

void take_piece(const Piece& piece, ScannedSegment& scanned) {
  const ChunkHeader& header = piece.header;
  if (piece.found == Found::Unreadable) {
    scanned.index.add_lost(lost_in(piece.bytes));
  } else if (header.count == 0) {  // a gap
    scanned.index.add_lost(header.first_offset);
  } else {
    scanned.index.add(OrganisationId{header.organisation},
                      make_entry(header, piece.position, piece.found != Found::Chunk));
    scanned.index.add_marks(header, piece.marks);
  }
  if (piece.found == Found::Unreadable) {
    scanned.damage.push_back({piece.position, piece.bytes, {}});
  } else if (piece.found == Found::DamagedChunk) {
    scanned.damage.push_back({piece.position, piece.bytes, header});
  }
  scanned.frames_end = align_up(piece.position + piece.bytes);
  if (piece.found == Found::Chunk) scanned.last_group = group_begin(piece);
}

}  // namespace

Result<ScannedSegment> scan_segment(const File& file, SyncedEnd synced) {
  Piece last{};
  const Result<std::vector<Piece>> walked = walk(file, last);
  if (!walked) return walked.error();
  const std::vector<Piece>& pieces = *walked;
  const auto is_frame = [](const Piece& p) {
    return p.found == Found::Chunk || p.found == Found::Gap;
  };

  std::uint64_t safe = synced.position;  // below it, everything was on stable storage
  if (last.found == Found::Index) {
    safe = last.position;
  } else if (!synced.exact) {
    const auto good = std::find_if(pieces.rbegin(), pieces.rend(), is_frame);
    if (good != pieces.rend()) {
      safe = std::max(safe, good->found == Found::Gap ? good->position : group_begin(*good));
    }
  }
  ScannedSegment scanned;
  scanned.frames_end = sizeof(SegmentHeader);
  scanned.last_group = scanned.frames_end;
  for (const Piece& piece : pieces) {
    if (piece.position >= safe && (synced.exact || !is_frame(piece))) {
      const std::uint64_t end = pieces.back().position + pieces.back().bytes;
      scanned.torn_tail = ScannedSegment::Region{piece.position, end - piece.position, {}};
      break;
    }
    take_piece(piece, scanned);
  }
  if (!scanned.torn_tail && scanned.frames_end < safe) {
    const std::uint64_t gone = safe - scanned.frames_end;
    scanned.index.add_lost(lost_in(gone));
    scanned.damage.push_back({scanned.frames_end, gone, {}});
  }
  return scanned;
}

Result<RecoveredPartition> recover_partition(LogContext& context, std::uint32_t partition,
                                             RecoveryMode mode) {
  return PartitionRecovery(context, partition, mode).run();
}

}  // namespace sluice::recordlog
