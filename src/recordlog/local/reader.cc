#include "recordlog/local/reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "recordlog/local/chunk_decode.h"

namespace sluice::recordlog {
namespace {

constexpr std::uint32_t kEntriesWalkedMax = 10'000;  // of unwanted kinds, in one read()
constexpr int kListsTriedMax = 8;  // each time retention deleted what was being read

Error corrupt(std::string_view what) { return {ErrorCode::Corruption, std::string(what)}; }

}  // namespace

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
      account_gap(list, std::nullopt, end, result);
      break;
    }
    const IndexEntry& entry = (*place)->found.entry;
    const SegmentId segment = list[(*place)->segment]->id();
    if (Offset{entry.first_offset} > result.resume) {
      account_gap(list, (*place)->segment, Offset{entry.first_offset}, result);
    }
    hint_sequence_ = segment.sequence;
    hint_number_ = (*place)->found.number + 1;
    const Offset entry_end{entry.end_offset()};
    const auto kind = kind_from_byte(entry.kind);
    if (kind && !kinds_.contains(*kind)) {
      result.resume = entry_end;
      continue;
    }
    auto chunk = load(segment, entry);
    if (chunk) {
      result.chunk = *std::move(chunk);
      result.resume = entry_end;
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

// Where the first chunk that ends behind `from` lies: at the hint, or searched
// for.
Result<std::optional<LocalReader::Place>> LocalReader::locate(const SegmentList& list,
                                                              Offset from) {
  const auto hinted = std::lower_bound(
      list.begin(), list.end(), hint_sequence_,
      [](const std::shared_ptr<Segment>& s, std::uint64_t seq) { return s->id().sequence < seq; });
  if (hinted != list.end() && (*hinted)->id().sequence == hint_sequence_) {
    const auto first = (*hinted)->first_offset(organisation_);
    if (first && *first <= from) {
      return locate_from(list, static_cast<std::size_t>(hinted - list.begin()), from, hint_number_);
    }
  }
  for (std::size_t i = list.size(); i-- > 0;) {
    const auto first = list[i]->first_offset(organisation_);
    if (first && *first <= from) return locate_from(list, i, from, 0);
  }
  return locate_from(list, 0, from, 0);
}

Result<std::optional<LocalReader::Place>> LocalReader::locate_from(const SegmentList& list,
                                                                   std::size_t begin, Offset from,
                                                                   std::uint32_t hint) {
  for (std::size_t i = begin; i < list.size(); ++i) {
    if (!list[i]->first_offset(organisation_)) continue;
    const auto found = list[i]->find(organisation_, from, i == begin ? hint : 0, context_);
    if (!found) return found.error();
    if (*found) return std::optional(Place{i, **found});
  }
  return std::optional<Place>();
}

// [result.resume, to) is in no chunk, and the next chunk lies in list[until]
// (none: nowhere). Before the oldest chunk of the organisation: aged out.
// Behind one: damage, if anything unidentified was lost between the two; else
// offsets that a failed write used up, which were never a record.
void LocalReader::account_gap(const SegmentList& list, std::optional<std::size_t> until, Offset to,
                              ReadResult& result) const {
  const std::uint64_t count = to.value() - result.resume.value();
  const std::size_t last = until.value_or(list.empty() ? 0 : list.size() - 1);
  std::optional<std::size_t> before;
  for (std::size_t i = 0; i < list.size() && i <= last; ++i) {
    const auto first = list[i]->first_offset(organisation_);
    if (first && *first < result.resume) before = i;
  }
  bool damage = false;
  for (std::size_t i = before.value_or(0); i < list.size() && i <= last; ++i) {
    damage |= list[i]->lost_records_max() > 0;
    if (i > before.value_or(0)) {
      damage |= list[i]->id().sequence != list[i - 1]->id().sequence + 1;
    }
  }
  if (damage) {
    result.damaged += count;
  } else if (!before) {
    result.aged_out += count;
  }
  result.resume = to;
}

Result<std::shared_ptr<const Chunk>> LocalReader::load(SegmentId segment, const IndexEntry& entry) {
  const ChunkKey key{segment, entry.position};
  if (auto cached = context_.chunks.get(key)) return cached;
  const Quarantine::Place place{segment.partition, segment.sequence, entry.position};
  if (entry.damaged() || context_.quarantine->is_damaged(place)) return corrupt("known damage");
  auto chunk = load_from_file(segment, entry);
  if (!chunk && chunk.error().code == ErrorCode::Corruption) {
    chunk = load_from_file(segment,
                           entry);  // a bad read may pass; a bad chunk will not
  }
  if (chunk) {
    context_.chunks.put(key, *chunk, entry.frame_bytes);
    return chunk;
  }
  if (chunk.error().code == ErrorCode::Corruption) {
    if (const auto file = context_.open_segment(segment)) {
      (void)context_.quarantine->keep(**file, place, entry.frame_bytes, Quarantine::Why::Damage);
    }
  }
  return chunk;
}

Result<std::shared_ptr<const Chunk>> LocalReader::load_from_file(SegmentId segment,
                                                                 const IndexEntry& entry) {
  const auto file = context_.open_segment(segment);
  if (!file) return file.error();
  auto frame = std::make_unique_for_overwrite<std::byte[]>(entry.frame_bytes);
  char* const bytes = reinterpret_cast<char*>(frame.get());
  const Result<std::size_t> got = (*file)->read_at(entry.position, {bytes, entry.frame_bytes});
  if (!got) return got.error();
  if (*got != entry.frame_bytes) return corrupt("the file ends in the chunk");
  auto chunk = decode_chunk(std::move(frame), entry.frame_bytes);
  if (chunk &&
      ((*chunk)->organisation != organisation_ || (*chunk)->first != Offset{entry.first_offset} ||
       (*chunk)->count() != entry.count)) {
    return corrupt("the chunk is not the one that the index names");
  }
  return chunk;
}

}  // namespace sluice::recordlog
