#include "recordlog/local/group_builder.h"

#include <algorithm>
#include <cstring>

namespace sluice::recordlog {
namespace {

// Shorter stretches of payload are copied: the copy costs less than another
// piece to write.
constexpr std::size_t kPieceBytesMin = 4 * kKiB;
// A staging buffer beyond this is given back after the group that needed it.
constexpr std::size_t kStagingKeptMax = 16 * kMiB;
// One that is so many times larger than needed is too dear for others to share.
constexpr std::size_t kStagingExcessMax = 8;
// What does not fit whole into a chunk with so many bytes begins the next one: records of one
// request, side by side, need not be copied for readers (see Partition::keep_for_readers).
constexpr std::uint64_t kChunkFullEnough = kChunkJoinedBytesMax / 2;

// What follows is of many requests, each received by an I/O thread: in this thread's cache there is
// nothing of it yet.
constexpr std::size_t kGroupsAhead = 4;
constexpr std::size_t kFetchBytesMax = 16 * kKiB;  // a chunk ahead; more would not stay
constexpr std::size_t kCacheLineBytes = 64;

void fetch(const char* bytes, std::size_t count) {
  for (std::size_t at = 0; at < count; at += kCacheLineBytes) __builtin_prefetch(bytes + at);
}

bool follows_behind_comma(std::string_view before, std::string_view after) {
  return after.data() == before.data() + before.size() + 1 && after.data()[-1] == ',';
}

}  // namespace

void join_piece(std::vector<iovec>& pieces, iovec piece) {
  if (!pieces.empty()) {
    iovec& last = pieces.back();
    if (static_cast<const char*>(last.iov_base) + last.iov_len == piece.iov_base) {
      last.iov_len += piece.iov_len;
      return;
    }
  }
  pieces.push_back(piece);
}

void GroupBuilder::clear() {
  plans_.clear();
  runs_.clear();
  open_plans_.clear();
  chunks_.clear();
  pieces_.clear();
  staging_used_ = 0;
  if (staging_size_ > kStagingKeptMax || staging_.use_count() > 1) {
    staging_.reset();
    staging_size_ = 0;
  }
}

// The organisation's last plan if it is of this kind, else a new one.
std::uint32_t GroupBuilder::plan_for(OrganisationId organisation, Kind kind) {
  const auto [found, added] = open_plans_.try_emplace(organisation, kNone);
  if (added || plans_[found->second].kind != kind) {
    found->second = static_cast<std::uint32_t>(plans_.size());
    plans_.push_back({.organisation = organisation, .kind = kind});
  }
  return found->second;
}

void GroupBuilder::add_run(Plan& plan, const Run& run, std::uint64_t joined_bytes) {
  const auto number = static_cast<std::uint32_t>(runs_.size());
  runs_.push_back(run);
  if (plan.last_run == kNone) {
    plan.first_run = number;
  } else {
    runs_[plan.last_run].next = number;
  }
  plan.last_run = number;
  plan.count += static_cast<std::uint32_t>(run.records.size());
  if (run.request->mark) ++plan.marks;
  plan.joined_bytes += joined_bytes;
}

void GroupBuilder::add(const AppendRequest& request, std::span<const std::uint32_t> groups) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (i + kGroupsAhead < groups.size()) {
      const NewRecords& ahead = request.groups[groups[i + kGroupsAhead]];
      fetch(reinterpret_cast<const char*>(&ahead), sizeof(ahead));
    }
    add_group(request, request.groups[groups[i]]);
  }
}

void GroupBuilder::add_group(const AppendRequest& request, const NewRecords& group) {
  const std::span<const NewRecord> records = group.records;
  std::size_t at = 0;
  while (at < records.size()) {
    Plan* plan = &plans_[plan_for(group.organisation, group.kind)];
    std::size_t until = at;
    std::uint64_t bytes = 0;
    const std::uint64_t room =
        kChunkJoinedBytesMax - std::min(kChunkJoinedBytesMax, plan->joined_bytes);
    const std::size_t until_max = std::min(records.size(), at + (kChunkRecordsMax - plan->count));
    while (until < until_max && bytes + records[until].bytes.size() + 1 <= room) {
      bytes += records[until++].bytes.size() + 1;
    }
    const bool splits = until < records.size() && plan->joined_bytes >= kChunkFullEnough;
    if (splits) {  // the next chunk can have it whole
      open_plans_.erase(group.organisation);
      continue;
    }
    const bool goes_alone = until == at && plan->count == 0;
    if (goes_alone) bytes = records[until++].bytes.size() + 1;
    if (until > at) add_run(*plan, {records.subspan(at, until - at), &request, &group}, bytes);
    at = until;
    if (at < records.size()) open_plans_.erase(group.organisation);  // full
  }
}

std::span<PreparedChunk> GroupBuilder::prepare() {
  reserve_staging();
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    if (i + 1 < plans_.size()) fetch_ahead(plans_[i + 1]);
    prepare_chunk(plans_[i]);
  }
  return chunks_;
}

void GroupBuilder::fetch_ahead(const Plan& plan) const {
  if (plan.joined_bytes > kFetchBytesMax) return;
  for (std::uint32_t run = plan.first_run; run != kNone; run = runs_[run].next) {
    for (const NewRecord& record : runs_[run].records) {
      fetch(record.bytes.data(), record.bytes.size());
    }
  }
}

// Enough for everything to be gathered; what is not touched costs no memory.
void GroupBuilder::reserve_staging() {
  std::size_t needed = 0;
  for (const Plan& plan : plans_) {
    const std::uint64_t meta_bytes =
        chunk_meta_bytes(std::uint64_t{plan.marks} * ChunkMark::kWords, plan.count);
    needed += align_up(meta_bytes + plan.joined_bytes) + kFrameAlignment;
  }
  if (needed <= staging_size_ && staging_size_ <= kStagingExcessMax * needed) return;
  staging_ = std::make_unique_for_overwrite<std::byte[]>(needed);
  staging_size_ = needed;
}

std::byte* GroupBuilder::take(std::size_t count) {
  std::byte* taken = staging_.get() + staging_used_;
  staging_used_ += count;
  return taken;
}

void GroupBuilder::add_piece(const void* bytes, std::size_t count) {
  if (count == 0) return;
  const iovec piece{const_cast<void*>(bytes), count};
  if (pieces_.size() > chunks_.back().first_piece) {
    join_piece(pieces_, piece);
  } else {
    pieces_.push_back(piece);
  }
}

void GroupBuilder::add_text(std::string_view bytes) {
  if (bytes.size() >= kPieceBytesMin) {
    add_piece(bytes.data(), bytes.size());
    return;
  }
  std::byte* copied = take(bytes.size());
  std::memcpy(copied, bytes.data(), bytes.size());
  add_piece(copied, bytes.size());
}

void GroupBuilder::prepare_chunk(const Plan& plan) {
  staging_used_ = align_up(staging_used_);
  const std::size_t marks_words = std::size_t{plan.marks} * ChunkMark::kWords;
  const std::size_t meta_bytes = chunk_meta_bytes(marks_words, plan.count);
  std::byte* meta = take(meta_bytes);
  auto* header = new (meta) ChunkHeader;
  header->organisation = plan.organisation.value();
  header->count = plan.count;
  header->joined_bytes = static_cast<std::uint32_t>(plan.joined_bytes - 1);
  header->frame_bytes = static_cast<std::uint32_t>(align_up(meta_bytes + header->joined_bytes));
  header->marks_words = static_cast<std::uint16_t>(marks_words);
  header->kind = static_cast<std::uint8_t>(plan.kind);
  PreparedChunk& chunk = chunks_.emplace_back();
  chunk.organisation = plan.organisation;
  chunk.header = header;
  chunk.first_piece = pieces_.size();
  add_piece(meta, meta_bytes);
  if (plan.marks > 0) chunk.marks = write_marks(plan, meta + sizeof(ChunkHeader));

  auto* columns = reinterpret_cast<RecordColumns*>(meta + sizeof(ChunkHeader) + marks_words * 8);
  auto* starts = reinterpret_cast<std::uint32_t*>(columns + plan.count);
  std::uint32_t start = 0;
  std::string_view text;  // of records that lie side by side
  for (std::uint32_t run = plan.first_run; run != kNone; run = runs_[run].next) {
    for (const NewRecord& record : runs_[run].records) {
      std::memcpy(columns++, &record.columns, sizeof(RecordColumns));
      *starts++ = start;
      start += static_cast<std::uint32_t>(record.bytes.size()) + 1;
      if (text.data() != nullptr && follows_behind_comma(text, record.bytes)) {
        text = {text.data(), text.size() + 1 + record.bytes.size()};
        continue;
      }
      if (text.data() != nullptr) {
        add_text(text);
        add_text(",");
      }
      text = record.bytes;
    }
  }
  *starts = start;
  if (text.size() == header->joined_bytes) {
    chunk.request = runs_[plan.first_run].request;
    chunk.joined = text;
  }
  add_text(text);
  const std::size_t padding = header->frame_bytes - meta_bytes - header->joined_bytes;
  std::byte* zeros = take(padding);
  std::memset(zeros, 0, padding);
  add_piece(zeros, padding);
  chunk.end_piece = pieces_.size();
  header->body_checksum = checksum_of(pieces(chunk), sizeof(ChunkHeader));
}

std::span<const ChunkMark> GroupBuilder::write_marks(const Plan& plan, std::byte* into) const {
  auto* const marks = reinterpret_cast<ChunkMark*>(into);
  ChunkMark* next = marks;
  std::uint32_t index = 0;
  for (std::uint32_t number = plan.first_run; number != kNone; number = runs_[number].next) {
    const Run& run = runs_[number];
    const auto count = static_cast<std::uint32_t>(run.records.size());
    if (const auto& request_mark = run.request->mark) {
      auto* mark = new (next++) ChunkMark;
      mark->index = static_cast<std::uint16_t>(index);
      mark->count = static_cast<std::uint16_t>(count);
      mark->key = request_mark->key;
      mark->body = request_mark->body;
      mark->accepted = request_mark->accepted;
      mark->rejected = request_mark->rejected;
      mark->part = run.group->part;
      mark->first = run.group->first +
                    static_cast<std::uint32_t>(&run.records[0] - run.group->records.data());
    }
    index += count;
  }
  return {marks, next};
}

}  // namespace sluice::recordlog
