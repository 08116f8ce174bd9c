#include "recordlog/local/recovery.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>

#include "base/logging.h"
#include "base/units.h"
#include "recordlog/local/scan.h"

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

std::uint64_t group_begin(const Piece& chunk) {
  const std::uint64_t group_bytes = chunk.header.group_bytes;
  return chunk.position - std::min(group_bytes, chunk.position);
}

class PartitionRecovery {
 public:
  PartitionRecovery(LogContext& context, std::uint32_t partition)
      : context_(context),
        partition_(partition),
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
  void report_missing(std::uint64_t first, std::uint64_t end);

  LogContext& context_;
  const std::uint32_t partition_;
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
    if (sequence != sequences->front()) report_missing(result_.next_sequence, sequence);
    result_.next_sequence = sequence + 1;
    if (auto done = recover_segment(sequence, sequence == sequences->back()); !done) {
      return done.error();
    }
  }
  if (mark_ && mark_->sequence >= result_.next_sequence) {
    // Without any segment, retention has deleted what the mark speaks of.
    if (!sequences->empty()) report_missing(result_.next_sequence, mark_->sequence + 1);
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

void PartitionRecovery::report_missing(std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t sequence = first; sequence < end; ++sequence) {
    lose_records(kLostWithASegment);
  }
  if (first >= end) return;
  result_.problems.push_back(fmt::format("{} segments are missing from {} on", end - first,
                                         context_.segment_path({partition_, first})));
  logging::error("segments of the log are missing",
                 {{"first", context_.segment_path({partition_, first})}, {"count", end - first}});
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

Result<ScannedSegment> scan_segment(const File& file, SyncedEnd synced) {
  Piece last{};
  const Result<std::vector<Piece>> walked = walk(file, last);
  if (!walked) return walked.error();
  const std::vector<Piece>& pieces = *walked;
  ScannedSegment scanned;

  std::uint64_t safe = synced.position;  // below it, everything was on stable storage
  if (last.found == Found::Index) {
    safe = last.position;
  } else if (!synced.exact) {
    const auto good = std::find_if(pieces.rbegin(), pieces.rend(),
                                   [](const Piece& p) { return p.found == Found::Chunk; });
    if (good != pieces.rend()) {
      safe = std::max(safe, group_begin(*good));
    }
  }
  scanned.frames_end = sizeof(SegmentHeader);
  scanned.last_group = scanned.frames_end;
  for (const Piece& piece : pieces) {
    if (piece.position >= safe && (synced.exact || piece.found != Found::Chunk)) {
      {
        const std::uint64_t end = pieces.back().position + pieces.back().bytes;
        scanned.torn_tail = ScannedSegment::Region{piece.position, end - piece.position, {}};
      }
      break;
    }
    if (piece.found == Found::Unreadable) {
      scanned.index.add_lost(piece.bytes / kRecordBytesMin + 1);
    } else {
      scanned.index.add(
          OrganisationId{piece.header.organisation},
          make_entry(piece.header, piece.position, piece.found == Found::DamagedChunk));
      scanned.index.add_marks(piece.header, piece.marks);
    }
    if (piece.found == Found::Unreadable) {
      scanned.damage.push_back({piece.position, piece.bytes, {}});
    } else if (piece.found == Found::DamagedChunk) {
      scanned.damage.push_back({piece.position, piece.bytes, piece.header});
    }
    scanned.frames_end = align_up(piece.position + piece.bytes);
    if (piece.found == Found::Chunk) scanned.last_group = group_begin(piece);
  }
  if (!scanned.torn_tail && scanned.frames_end < safe) {
    const std::uint64_t gone = safe - scanned.frames_end;
    scanned.index.add_lost(gone / kRecordBytesMin + 1);
    scanned.damage.push_back({scanned.frames_end, gone, {}});
  }
  return scanned;
}

Result<RecoveredPartition> recover_partition(LogContext& context, std::uint32_t partition) {
  return PartitionRecovery(context, partition).run();
}

}  // namespace sluice::recordlog
