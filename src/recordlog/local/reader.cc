#include "recordlog/local/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "recordlog/local/chunk_decode.h"

namespace sluice::recordlog {
namespace {

constexpr std::uint32_t kEntriesWalkedMax = 10'000;  // of unwanted kinds, in one read()
constexpr std::size_t kEntriesAhead = 64;            // 2 KiB a reader
constexpr int kListsTriedMax = 8;  // each time retention deleted what was being read
// Chunks of up to kSmallFrameMax are read together, as long as they follow one another, were
// stored in the same second and have room in kJoinedFramesMax: where many organisations write, a
// chunk holds a record or two, and handling it costs more than the record. So the second in which a
// record was stored is its chunk's, however it was read.
constexpr std::size_t kJoinedFramesMax = 128 * 1024;
constexpr std::int64_t kSecondMs = 1000;

Error corrupt(std::string_view what) { return {ErrorCode::Corruption, std::string(what)}; }

}  // namespace

LocalReader::LocalReader(LogContext& context, const Partition& partition,
                         OrganisationId organisation, KindSet kinds)
    : context_(context), partition_(partition), organisation_(organisation), kinds_(kinds) {
  context_.readers.add(organisation_);
}

LocalReader::~LocalReader() { context_.readers.remove(organisation_); }

Result<ReadResult> LocalReader::read(Offset from) {
  for (int tries = 1;; ++tries) {
    const Offset end = partition_.end(organisation_);  // before the list: the list holds all of it
    if (from > end) {
      return Error{ErrorCode::NotFound,
                   fmt::format("LogTruncated: offset {} of organisation {} "
                               "lies beyond the end of "
                               "the log, {}",
                               from.value(), organisation_.value(), end.value())};
    }
    if (from == end) return ReadResult{nullptr, from};
    const std::shared_ptr<const SegmentList> list = partition_.segments();
    Result<ReadResult> result = walk(*list, from, end);
    const bool deleted = !result && result.error().code == ErrorCode::NotFound;
    if (!deleted) return result;
    ahead_.clear();
    if (tries == kListsTriedMax) return Error{ErrorCode::Io, result.error().message};
  }
}

Result<ReadResult> LocalReader::walk(const SegmentList& list, Offset from, Offset end) {
  ReadResult result;
  result.resume = from;
  for (std::uint32_t walked = 0; walked < kEntriesWalkedMax && result.resume < end; ++walked) {
    const auto place = locate(list, result.resume);
    if (!place) return place.error();
    if (!*place) {
      account_gap(list, ~std::uint64_t{0}, end, result);
      break;
    }
    const IndexEntry& entry = (*place)->entry;
    if (Offset{entry.first_offset} > result.resume) {
      account_gap(list, (*place)->segment.sequence, Offset{entry.first_offset}, result);
    }
    const Offset entry_end{entry.end_offset()};
    const auto kind = kind_from_byte(entry.kind);
    if (kind && !kinds_.contains(*kind)) {
      result.resume = entry_end;
      continue;
    }
    auto chunk = load(**place);
    if (chunk) {
      result.chunk = *std::move(chunk);
      result.resume = result.chunk->end();
      break;
    }
    if (chunk.error().code != ErrorCode::Corruption) {
      if (result.resume > from) break;  // what was found so far counts; the next read tells
      return chunk.error();
    }
    result.damaged += entry_end.value() - result.resume.value();
    result.resume = entry_end;
  }
  return result;
}

// The first chunk that ends behind `from`.
Result<std::optional<LocalReader::Place>> LocalReader::locate(const SegmentList& list,
                                                              Offset from) {
  if (from >= ahead_from_) {
    if (auto place = next_ahead(from)) return place;
  }
  if (auto looked = look_ahead(list, from); !looked) return looked.error();
  return next_ahead(from);
}

std::optional<LocalReader::Place> LocalReader::next_ahead(Offset from) {
  ahead_from_ = from;
  while (ahead_next_ < ahead_.size() && Offset{ahead_[ahead_next_].end_offset()} <= from) {
    ++ahead_next_;
  }
  if (ahead_next_ >= ahead_.size()) return std::nullopt;
  return Place{ahead_segment_, ahead_[ahead_next_]};
}

// Begins with the newest segment whose first offset does not lie behind `from`: mostly the one
// that was read last, or the newest of all.
Result<void> LocalReader::look_ahead(const SegmentList& list, Offset from) {
  ahead_.clear();
  ahead_next_ = 0;
  std::size_t begin = list.size();
  while (begin > 0) {
    const auto first = list[--begin]->first_offset(organisation_);
    if (first && *first <= from) break;
  }
  for (std::size_t i = begin; i < list.size(); ++i) {
    if (!list[i]->first_offset(organisation_)) continue;
    auto entries = list[i]->find(organisation_, from, kEntriesAhead, context_);
    if (!entries) return entries.error();
    if (entries->empty()) continue;
    ahead_ = *std::move(entries);
    ahead_segment_ = list[i]->id();
    break;
  }
  return {};
}

// [result.resume, to) is in no chunk, and the next chunk lies in segment `last_sequence` (or
// nowhere). Before the oldest chunk of the organisation: aged out. Behind one: damage, if anything
// unidentified was lost between the two; else offsets that a failed write used up, which were
// never a record.
void LocalReader::account_gap(const SegmentList& list, std::uint64_t last_sequence, Offset to,
                              ReadResult& result) const {
  const std::uint64_t count = to.value() - result.resume.value();
  bool behind_a_chunk = false;
  bool damage = false;
  std::uint64_t before = 0;  // sequence
  for (const std::shared_ptr<Segment>& segment : list) {
    const std::uint64_t sequence = segment->id().sequence;
    if (sequence > last_sequence) break;
    damage |= before != 0 && sequence != before + 1;
    const auto first = segment->first_offset(organisation_);
    if (first && *first < result.resume) {
      behind_a_chunk = true;
      damage = false;
    }
    damage |= segment->lost_records_max() > 0;
    before = sequence;
  }
  if (damage) {
    result.damaged += count;
  } else if (!behind_a_chunk) {
    result.aged_out += count;
  }
  result.resume = to;
}

Result<std::shared_ptr<const Chunk>> LocalReader::load(const Place& at) {
  const auto& [segment, entry] = at;
  const bool small = entry.frame_bytes <= kSmallFrameMax;
  const ChunkKey key{segment, entry.position};
  if (!small) {
    if (auto cached = context_.chunks.get(key)) return cached;
  }
  const Quarantine::Place place{segment.partition, segment.sequence, entry.position};
  if (entry.damaged() || context_.quarantine->is_damaged(place)) return corrupt("known damage");
  auto chunk = small ? load_small() : load_from_file(at);
  if (!chunk && chunk.error().code == ErrorCode::Corruption) {
    chunk = load_from_file(at);  // a bad read may pass; a bad chunk will not
  }
  if (chunk) {
    if (!small) context_.chunks.put(key, *chunk, entry.frame_bytes);
    return chunk;
  }
  if (chunk.error().code == ErrorCode::Corruption) {
    if (const auto file = context_.open_segment(segment)) {
      (void)context_.quarantine->keep(**file, place, entry.frame_bytes, Quarantine::Why::Damage);
    }
  }
  return chunk;
}

Result<std::shared_ptr<const Chunk>> LocalReader::load_from_file(const Place& at) {
  const auto file = context_.open_segment(at.segment);
  if (!file) return file.error();
  auto frame = std::make_unique_for_overwrite<std::byte[]>(at.entry.frame_bytes);
  const auto view = read_frame(**file, at.entry, {frame.get(), at.entry.frame_bytes});
  if (!view) return view.error();
  return chunk_of(*view, std::move(frame));
}

// The chunk in front and those that can be joined to it. What is wrong with one of these is found
// when it is the first.
Result<std::shared_ptr<const Chunk>> LocalReader::load_small() {
  const std::span<const IndexEntry> entries = small_ahead();
  std::uint32_t records = 0;
  std::size_t frames_bytes = 0;
  for (const IndexEntry& entry : entries) {
    records += entry.count;
    frames_bytes += entry.frame_bytes;
  }
  const auto recent = partition_.recent_frames().find(ahead_segment_.sequence, entries);
  std::shared_ptr<const File> file;  // opened by the first that needs it
  ChunkJoiner joiner(records, frames_bytes);
  alignas(RecordColumns) std::array<std::byte, kSmallFrameMax> frame;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::span<std::byte> into = std::span(frame).first(entries[i].frame_bytes);
    const Result<FrameView> view = recent[i] != nullptr ? view_as_written(recent[i].get())
                                                        : read_small(entries[i], into, file);
    if (!view && i == 0) return view.error();
    if (!view) break;
    joiner.add(*view);
  }
  return joiner.finish();
}

Result<FrameView> LocalReader::read_small(const IndexEntry& entry, std::span<std::byte> into,
                                          std::shared_ptr<const File>& file) const {
  if (file == nullptr) {
    auto opened = context_.open_segment(ahead_segment_);
    if (!opened) return opened.error();
    file = *std::move(opened);
  }
  return read_frame(*file, entry, into);
}

std::span<const IndexEntry> LocalReader::small_ahead() const {
  const auto entries = std::span(ahead_).subspan(ahead_next_);
  std::size_t count = 1;
  std::size_t bytes = entries[0].frame_bytes;
  for (; count < entries.size(); ++count) {
    const IndexEntry& entry = entries[count];
    bytes += entry.frame_bytes;
    const bool joins = entry.kind == entries[0].kind && !entry.damaged() &&
                       entry.first_offset == entries[count - 1].end_offset() &&
                       entry.stored_ms / kSecondMs == entries[0].stored_ms / kSecondMs &&
                       entry.frame_bytes <= kSmallFrameMax && bytes <= kJoinedFramesMax;
    if (!joins) break;
  }
  return entries.first(count);
}

Result<FrameView> LocalReader::read_frame(const File& file, const IndexEntry& entry,
                                          std::span<std::byte> into) const {
  const Result<std::size_t> got =
      file.read_at(entry.position, {reinterpret_cast<char*>(into.data()), into.size()});
  if (!got) return got.error();
  if (*got != into.size()) return corrupt("the file ends in the chunk");
  Result<FrameView> view = check_frame(into);
  if (!view) return view;
  const ChunkHeader& header = view->header;
  if (OrganisationId{header.organisation} != organisation_ ||
      header.first_offset != entry.first_offset || header.count != entry.count) {
    return corrupt("the chunk is not the one that the index names");
  }
  return view;
}

}  // namespace sluice::recordlog
