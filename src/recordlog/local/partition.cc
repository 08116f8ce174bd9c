#include "recordlog/local/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/logging.h"
#include "base/threads.h"
#include "recordlog/local/chunk_decode.h"

namespace sluice::recordlog {
namespace {

constexpr std::uint64_t kGroupBytes = 8 * kMiB;  // of records, taken from the queue for one sync
constexpr std::chrono::seconds kMarkEvery{1};
constexpr std::chrono::seconds kRetentionEvery{60};
constexpr std::chrono::seconds kEarlyDeletionEvery{1};  // tries, where nothing could go
// A segment of tiny chunks is sealed before it is full: its index lies in memory (8 MiB, or 16 if
// it is all marks), and is read as a whole later.
constexpr std::uint64_t kIndexEntriesMax = 1 << 18;
// A segment that grows slowly is sealed after this part of the retention, so
// that it can age out.
constexpr std::int64_t kSegmentsPerRetention = 20;

void finish_part(LogContext& context, Partition::Part& part, const Result<void>& result) {
  PendingAppend& append = *part.append;
  if (!result) {
    const MutexLock lock(append.mutex);
    if (!append.error) append.error = result.error();
  }
  if (append.parts_left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  context.queue_bytes.fetch_sub(append.bytes, std::memory_order_relaxed);
  context.metrics.queue_bytes.add(-static_cast<double>(append.bytes));
  std::optional<Error> error;
  {
    const MutexLock lock(append.mutex);
    error = std::move(append.error);
  }
  append.done(error ? Result<void>(*std::move(error)) : Result<void>());
}

Error for_appenders(const Error& error) {
  return {error.code == ErrorCode::ResourceExhausted ? error.code : ErrorCode::Io, error.message};
}

}  // namespace

Partition::Partition(LogContext& context, std::uint32_t number, RecoveredPartition recovered)
    : context_(context),
      number_(number),
      recovery_problems_(std::move(recovered.problems)),
      next_offsets_(std::move(recovered.next_offsets)),
      noted_offsets_(std::move(recovered.noted_offsets)),
      last_stored_(recovered.last_stored),
      next_sequence_(recovered.next_sequence),
      mark_file_(context.fs, context.partition_directory(number)),
      mark_due_(std::chrono::steady_clock::now() + kMarkEvery),
      retention_due_(context.clock.steady()),
      early_deletion_due_(context.clock.steady()),
      recent_frames_(context.settings.recent_bytes_max / context.settings.partitions),
      ends_(next_offsets_),
      segments_(std::make_shared<const SegmentList>()) {
  for (const auto& segment : recovered.segments) context_.budget.add(segment->bytes());
  publish_segments(std::move(recovered.segments));
  if (context.settings.own_threads) thread_ = std::thread([this] { run(); });
}

Partition::~Partition() { stop(); }

void Partition::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  if (!context_.settings.own_threads) finish();
}

void Partition::push(Part part) {
  {
    const MutexLock lock(mutex_);
    if (!stopping_) {
      queue_.push_back(std::move(part));
      part.append = nullptr;  // NOLINT(bugprone-use-after-move)
    }
  }
  if (part.append) {
    finish_part(context_, part, Error{ErrorCode::Cancelled, "the log is stopping"});
  } else if (context_.settings.own_threads) {
    wake_.notify_one();
  } else {
    commit_now();
  }
}

Offset Partition::end(OrganisationId organisation) const {
  const MutexLock lock(mutex_);
  const auto found = ends_.find(organisation);
  return found == ends_.end() ? Offset{} : found->second;
}

std::shared_ptr<const SegmentList> Partition::segments() const {
  const MutexLock lock(mutex_);
  return segments_;
}

Result<void> Partition::health() const {
  const MutexLock lock(mutex_);
  if (failure_) return *failure_;
  if (recovery_problems_.empty()) return {};
  return Error{ErrorCode::Corruption, recovery_problems_.front()};
}

void Partition::run_retention() {
  if (!context_.settings.own_threads) return keep_house(/*retention_wanted=*/true);
  const MutexLock lock(mutex_);
  const std::uint64_t wanted = ++retention_wanted_;
  wake_.notify_one();
  while (retention_done_ < wanted && !stopping_) retention_ran_.wait(mutex_);
}

// --- the commit thread

void Partition::run() {
  name_this_thread(fmt::format("commit-{}", number_));
  let_work_gather_for_this_thread();
  std::vector<Part> parts;
  while (wait_for_work(parts)) {
    if (!parts.empty()) commit(parts);
    parts.clear();
    std::uint64_t wanted = 0;
    {
      const MutexLock lock(mutex_);
      wanted = retention_wanted_ > retention_done_ ? retention_wanted_ : 0;
    }
    keep_house(wanted != 0);
    if (wanted == 0) continue;
    const MutexLock lock(mutex_);
    retention_done_ = wanted;
    retention_ran_.notify_all();
  }
  finish();
  const MutexLock lock(mutex_);
  retention_ran_.notify_all();
}

void Partition::finish() {
  if (std::exchange(ended_, true)) return;
  seal_segment();
  write_mark();
}

void Partition::commit_now() {
  std::vector<Part> parts;
  {
    const MutexLock lock(mutex_);
    parts.swap(queue_);
  }
  commit(parts);
  keep_house(/*retention_wanted=*/false);
}

// Takes what waits, up to a group's bytes. False: stopping, and nothing waits
// any more.
bool Partition::wait_for_work(std::vector<Part>& parts) {
  const bool mark_waits = mark_ != written_mark_;
  const SteadyTime until =
      mark_waits ? mark_due_ : std::chrono::steady_clock::now() + kRetentionEvery;
  const MutexLock lock(mutex_);
  while (queue_.empty() && !stopping_ && retention_wanted_ == retention_done_) {
    if (!wake_.wait_until(mutex_, until)) break;
  }
  while (!queue_.empty() && !stopping_ && std::chrono::steady_clock::now() < pacer_.next()) {
    wake_.wait_until(mutex_, pacer_.next());
  }
  pacer_.begins(std::chrono::steady_clock::now());
  std::uint64_t bytes = 0;
  std::size_t taken = 0;
  while (taken < queue_.size() && bytes < kGroupBytes) bytes += queue_[taken++].bytes;
  const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(taken);
  parts.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  return !parts.empty() || !stopping_;
}

void Partition::commit(std::vector<Part>& parts) {
  builder_.clear();
  for (const Part& part : parts) builder_.add(part.append->request, part.groups);
  const std::span<PreparedChunk> chunks = builder_.prepare();
  pacer_.consists_of(chunks);
  const Result<void> result = write_chunks(chunks);
  {
    const MutexLock lock(mutex_);
    if (result) {
      failure_.reset();
    } else {
      failure_ = result.error();
    }
  }
  for (Part& part : parts) finish_part(context_, part, result);
}

// As few writes and syncs as segments are needed: one, but where a group does
// not fit.
Result<void> Partition::write_chunks(std::span<PreparedChunk> chunks) {
  if (context_.reserve != nullptr && !context_.reserve->is_there()) {
    return Error{ErrorCode::ResourceExhausted,
                 "the disk is full, and what was held in reserve is for the streams and the "
                 "catalog: free some space, and ingest goes on by itself"};
  }
  while (!chunks.empty()) {
    if (!writer_) {
      if (auto begun = begin_segment(); !begun) return for_appenders(begun.error());
    }
    std::size_t count = 0;
    std::uint64_t bytes = 0;
    while (count < chunks.size() && bytes + chunks[count].header->frame_bytes <= writer_->room()) {
      bytes += chunks[count++].header->frame_bytes;
    }
    const bool index_full = index_entries_ >= kIndexEntriesMax;
    if ((count < chunks.size() || index_full) && !writer_->empty()) {
      seal_segment();
      continue;
    }
    count = std::max<std::size_t>(count, 1);  // a chunk greater than a segment has it alone
    if (auto written = write_run(chunks.first(count)); !written) {
      return for_appenders(written.error());
    }
    chunks = chunks.subspan(count);
  }
  return {};
}

Result<void> Partition::write_run(std::span<PreparedChunk> chunks) {
  last_stored_ = std::max(last_stored_, context_.clock.now());
  pieces_.clear();
  std::uint64_t bytes = 0;
  for (const PreparedChunk& chunk : chunks) {
    Offset& next_offset = next_offsets_[chunk.organisation];
    chunk.header->first_offset = next_offset.value();
    chunk.header->stored_ms = last_stored_.ms;
    chunk.header->group_bytes = static_cast<std::uint32_t>(bytes);
    set_checksum(*chunk.header);
    // Written or not: if this fails, nobody knows, and these offsets are not
    // given out again.
    next_offset = plus(next_offset, chunk.header->count);
    bytes += chunk.header->frame_bytes;
    for (const iovec& piece : builder_.pieces(chunk)) join_piece(pieces_, piece);
  }
  const SteadyTime begun = std::chrono::steady_clock::now();
  const Result<void> written = writer_->append(pieces_, bytes);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  context_.metrics.sync_seconds.observe(took.count());
  if (!written) {
    context_.metrics.failures.add();
    logging::error("a commit group failed",
                   {{"partition", std::uint64_t{number_}}, {"reason", written.error().message}});
    abandon_segment();
    return written;
  }
  publish(chunks, bytes);
  return {};
}

// Streams that keep up need not read the file: what they want next is in memory now. Of a request
// that is this chunk, or little more, the payload itself is kept.
void Partition::keep_for_readers(const PreparedChunk& chunk, std::uint64_t position) {
  if (!context_.readers.any(chunk.organisation)) return;
  const std::uint64_t frame_bytes = chunk.header->frame_bytes;
  const auto pieces = builder_.pieces(chunk);
  if (frame_bytes <= kSmallFrameMax) {
    if (pieces.size() > 1) return;
    small_frames_.push_back(
        {static_cast<std::uint32_t>(position), static_cast<const std::byte*>(pieces[0].iov_base)});
    return;
  }
  const std::uint64_t payload_bytes = chunk.request == nullptr ? 0 : chunk.request->payload_bytes;
  const bool shares = payload_bytes > 0 && payload_bytes <= 2 * frame_bytes;
  const std::uint64_t text_bytes = shares ? chunk.header->joined_bytes : 0;
  context_.chunks.put(
      {active_->id(), static_cast<std::uint32_t>(position)},
      chunk_as_written(pieces, chunk.joined, shares ? chunk.request->payload : nullptr),
      frame_bytes - text_bytes + (shares ? payload_bytes : 0));
}

void Partition::publish(std::span<const PreparedChunk> chunks, std::uint64_t bytes) {
  entries_.clear();
  marks_.clear();
  std::vector<AppendObserver::Appended> appended;
  std::uint64_t position = writer_->end() - bytes;
  std::uint64_t records = 0;
  for (const PreparedChunk& chunk : chunks) {
    const ChunkHeader& header = *chunk.header;
    const IndexEntry entry = make_entry(header, position, /*damaged=*/false);
    entries_.push_back({chunk.organisation, entry});
    for (const ChunkMark& mark : chunk.marks) marks_.push_back({mark, header.stored_ms});
    const Offset end{entry.end_offset()};
    if (!appended.empty() && appended.back().organisation == chunk.organisation) {
      appended.back().end = end;
    } else {
      appended.push_back({chunk.organisation, end});
    }
    keep_for_readers(chunk, position);
    position += header.frame_bytes;
    records += header.count;
  }
  recent_frames_.add(active_->id().sequence, std::exchange(small_frames_, {}), builder_.staging(),
                     builder_.staging_bytes());
  index_entries_ += entries_.size() + marks_.size();
  active_->add(entries_, marks_, writer_->end());
  context_.marks.add(marks_);
  {
    const MutexLock lock(mutex_);
    for (const AppendObserver::Appended& one : appended) ends_[one.organisation] = one.end;
  }
  mark_ = {active_->id().sequence, writer_->end()};
  context_.metrics.groups.add();
  context_.metrics.records.add(static_cast<double>(records));
  context_.metrics.bytes.add(static_cast<double>(bytes));
  context_.metrics.segment_bytes.add(static_cast<double>(bytes));
  context_.observer.tell(appended);
}

// --- segments

Result<void> Partition::begin_segment() {
  if (auto room = make_room(); !room) return room;
  const SegmentId id{number_, next_sequence_};
  SegmentList list = *segments();
  const bool cut_short = !list.empty() && !list.back()->sealed();
  Result<std::unique_ptr<SegmentWriter>> created =
      SegmentWriter::create(context_, id, cut_short ? list.back()->bytes() : 0);
  if (!created) {
    logging::error("cannot begin a segment", {{"reason", created.error().message}});
    context_.metrics.failures.add();
    context_.budget.give_back(context_.settings.segment_bytes);
    (void)context_.fs.remove(context_.segment_path(id));  // else the next attempt replaces it
    return created.error();
  }
  ++next_sequence_;
  index_entries_ = 0;
  writer_ = *std::move(created);
  active_ = std::make_shared<Segment>(id, context_.clock.now(), GrowingIndex(), writer_->end());
  list.push_back(active_);
  publish_segments(std::move(list));
  return {};
}

// Where the footer cannot be written the segment stays readable by its chunks.
void Partition::seal_segment() {
  if (!writer_) return;
  const SegmentIndex index = active_->finish_index();
  const std::uint64_t before = active_->bytes();
  if (const Result<std::uint64_t> bytes = writer_->seal(index, active_->marks())) {
    active_->become_sealed(index, *bytes);
    context_.indexes.put(active_->id(), std::make_shared<const SegmentIndex>(index),
                         index.memory_bytes());
    context_.metrics.segment_bytes.add(static_cast<double>(*bytes - before));
  } else {
    logging::warn("cannot write the index of a segment", {{"reason", bytes.error().message}});
  }
  end_segment();
}

// Of the space that was reserved for it, the segment keeps what it has filled.
void Partition::end_segment() {
  context_.budget.add(active_->bytes());
  context_.budget.give_back(context_.settings.segment_bytes);
  writer_.reset();
  active_.reset();
}

// After a failed write or sync: the segment ends where it was last synced.
void Partition::abandon_segment() {
  writer_->abandon();
  const bool empty = writer_->empty();
  const std::shared_ptr<Segment> ended = active_;
  const SegmentId id = ended->id();
  end_segment();
  if (!empty || !context_.fs.remove(context_.segment_path(id))) return;
  context_.budget.give_back(ended->bytes());
  SegmentList list = *segments();
  list.pop_back();
  publish_segments(std::move(list));
  next_sequence_ = id.sequence;
}

void Partition::publish_segments(SegmentList segments) {
  const auto published = std::make_shared<const SegmentList>(std::move(segments));
  const auto bytes_of = [](const SegmentList& list) {
    double bytes = 0;
    for (const auto& segment : list) bytes += static_cast<double>(segment->bytes());
    return bytes;
  };
  const std::shared_ptr<const SegmentList> before = this->segments();
  context_.metrics.segments.add(static_cast<double>(published->size()) -
                                static_cast<double>(before->size()));
  context_.metrics.segment_bytes.add(bytes_of(*published) - bytes_of(*before));
  const MutexLock lock(mutex_);
  segments_ = published;
}

// --- housekeeping

void Partition::keep_house(bool retention_wanted) {
  const bool mark_is_due = context_.settings.own_threads
                               ? std::chrono::steady_clock::now() >= mark_due_
                               : retention_wanted;
  if (mark_ != written_mark_ && mark_is_due) write_mark();
  if (retention_wanted || context_.clock.steady() >= retention_due_) {
    retention_due_ = context_.clock.steady() + kRetentionEvery;
    apply_retention();
  }
  // Another partition may be the one that needs the room.
  if (context_.budget.is_missed(context_.settings.segment_bytes)) delete_early();
}

void Partition::write_mark() {
  if (mark_ == written_mark_) return;
  mark_due_ = std::chrono::steady_clock::now() + kMarkEvery;
  if (auto written = mark_file_.write(mark_); !written) {
    logging::warn("cannot write the synced mark", {{"reason", written.error().message}});
    return;
  }
  written_mark_ = mark_;
}

void Partition::apply_retention() {
  const bool may_delete = context_.retention_guard->may_delete();
  const WallTime now = context_.clock.now();
  const std::int64_t retention_ms = context_.settings.retention_s * 1000;
  if (active_ && now.ms - active_->created().ms > retention_ms / kSegmentsPerRetention) {
    seal_segment();
  }
  if (may_delete) {
    const SegmentList list = *segments();
    drop_before(std::find_if(list.begin(), list.end(),
                             [&](const std::shared_ptr<Segment>& segment) {
                               return segment == active_ ||
                                      segment->newest_stored().ms >= now.ms - retention_ms;
                             }),
                list);
  }
  delete_doomed();
}

// Takes the segments before `first_kept` out of the list, to be deleted. False: it could not be
// noted, so nothing goes.
bool Partition::drop_before(SegmentList::const_iterator first_kept, const SegmentList& list) {
  if (first_kept == list.begin()) return true;
  SegmentList kept(first_kept, list.end());
  if (auto noted = note_offsets_beside(kept); !noted) {
    logging::error("cannot note offsets; nothing is deleted", {{"reason", noted.error().message}});
    return false;
  }
  publish_segments(std::move(kept));
  doomed_.insert(doomed_.end(), list.begin(), first_kept);
  return true;
}

// For a new segment, by deleting old ones early if need be.
Result<void> Partition::make_room() {
  DiskBudget& budget = context_.budget;
  while (!budget.take(context_.settings.segment_bytes)) {
    if (delete_early()) continue;
    return Error{ErrorCode::ResourceExhausted,
                 fmt::format("the log is full: its segments take {} of {} bytes, and streams have "
                             "yet to deliver what is in the oldest; let them catch up, or raise "
                             "limits.data_bytes_max",
                             budget.used(), budget.bytes_max())};
  }
  return {};
}

// The oldest segment, if every stream is behind all of its records. False: it stays.
bool Partition::delete_early() {
  delete_doomed();
  if (context_.clock.steady() < early_deletion_due_) return false;
  const SegmentList list = *segments();
  const std::optional<LowestCursors> cursors = context_.budget.lowest_cursors();
  const bool may = cursors && !list.empty() && list.front() != active_;
  const Result<bool> passed = may ? is_passed(*list.front(), *cursors) : Result<bool>(false);
  if (!passed || !*passed || !drop_before(std::next(list.begin()), list)) {
    early_deletion_due_ = context_.clock.steady() + kEarlyDeletionEvery;
    return false;
  }
  context_.budget.count_early_deletion();
  logging::warn("the log is full: a segment goes before its age, every stream has passed it",
                {{"file", context_.segment_path(list.front()->id())}});
  delete_doomed();
  return doomed_.empty();
}

Result<bool> Partition::is_passed(const Segment& segment, const LowestCursors& cursors) {
  for (const OrganisationId organisation : segment.organisations()) {
    const auto cursor = cursors.find(organisation);
    if (cursor == cursors.end()) continue;  // no stream of it waits for anything
    const auto needed = segment.find(organisation, cursor->second, 1, context_);
    if (!needed) return needed.error();
    if (!needed->empty()) return false;
  }
  return true;
}

// Organisations without a record in `kept` must not start at offset 0 again.
Result<void> Partition::note_offsets_beside(const SegmentList& kept) {
  std::unordered_set<OrganisationId> present;
  for (const std::shared_ptr<Segment>& segment : kept) {
    for (const OrganisationId organisation : segment->organisations()) {
      present.insert(organisation);
    }
  }
  NextOffsets noted;
  for (const auto& [organisation, next_offset] : next_offsets_) {
    if (!present.contains(organisation)) noted[organisation] = next_offset;
  }
  if (noted == noted_offsets_) return {};
  if (auto written = write_next_offsets(context_.fs, context_.partition_directory(number_), noted);
      !written) {
    return written;
  }
  noted_offsets_ = std::move(noted);
  return {};
}

// Oldest first, each one durably, so that a crash leaves no hole.
void Partition::delete_doomed() {
  while (!doomed_.empty()) {
    const SegmentId id = doomed_.front()->id();
    context_.files.erase(id);
    context_.indexes.erase(id);
    Result<void> deleted = context_.fs.remove(context_.segment_path(id));
    if (!deleted && deleted.error().code == ErrorCode::NotFound) deleted = {};
    if (deleted) deleted = context_.fs.sync_directory(context_.partition_directory(number_));
    if (!deleted) {
      logging::error("cannot delete an old segment", {{"reason", deleted.error().message}});
      return;
    }
    context_.budget.give_back(doomed_.front()->bytes());
    logging::info("deleted an old segment", {{"file", context_.segment_path(id)}});
    doomed_.erase(doomed_.begin());
  }
}

}  // namespace sluice::recordlog
