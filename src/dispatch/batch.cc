#include "dispatch/batch.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "model/alert_id.h"

namespace sluice::dispatch {
namespace {

// A batch's runs of a chunk are copied when they are less than this part of it.
constexpr std::uint64_t kWorthKeeping = 4;

ChunkPtr copy_of(const connectors::RecordRun& run) {
  const recordlog::Chunk& from = *run.chunk;
  const std::string_view joined = run.joined();
  const std::size_t columns_bytes = run.count() * sizeof(RecordColumns);
  const std::size_t starts_bytes = (run.count() + 1) * sizeof(std::uint32_t);
  auto copy = std::make_shared<recordlog::Chunk>();
  // Columns first: they need the greatest alignment, which new[] gives.
  copy->storage = std::make_unique<std::byte[]>(columns_bytes + starts_bytes + joined.size());
  auto* columns = reinterpret_cast<RecordColumns*>(copy->storage.get());
  auto* starts = reinterpret_cast<std::uint32_t*>(copy->storage.get() + columns_bytes);
  auto* bytes = reinterpret_cast<char*>(copy->storage.get() + columns_bytes + starts_bytes);
  std::copy_n(from.columns.data() + run.begin, run.count(), columns);
  for (std::uint32_t i = 0; i <= run.count(); ++i) {
    starts[i] = from.starts[run.begin + i] - from.starts[run.begin];
  }
  std::memcpy(bytes, joined.data(), joined.size());
  copy->organisation = from.organisation;
  copy->kind = from.kind;
  copy->first = plus(from.first, run.begin);
  copy->stored = from.stored;
  copy->joined = {bytes, joined.size()};
  copy->starts = {starts, run.count() + 1};
  copy->columns = {columns, run.count()};
  return copy;
}

// The batch's last runs, which are of `chunk`.
void copy_if_sparse(Batch& batch, const recordlog::Chunk& chunk) {
  auto& runs = batch.records.runs;
  std::uint64_t bytes = 0;
  auto first = runs.end();
  for (; first != runs.begin() && std::prev(first)->chunk.get() == &chunk; --first) {
    const connectors::RecordRun& run = *std::prev(first);
    bytes += run.joined().size() + run.count() * (sizeof(RecordColumns) + sizeof(std::uint32_t)) +
             sizeof(recordlog::Chunk);
  }
  if (first == runs.end() || bytes * kWorthKeeping > memory_of(chunk)) return;
  batch.memory_bytes -= memory_of(chunk);
  batch.memory_bytes += bytes;
  for (auto run = first; run != runs.end(); ++run) *run = {copy_of(*run), 0, run->count()};
}

}  // namespace

std::uint64_t memory_of(const recordlog::Chunk& chunk) {
  return chunk.joined.size() + chunk.columns.size_bytes() + chunk.starts.size_bytes();
}

std::uint32_t take_records(Batch& batch, const ChunkPtr& chunk, std::uint32_t begin,
                           std::uint32_t end, const connectors::BatchLimits& limits) {
  const std::uint32_t room = limits.records_max - batch.records.records;
  std::uint32_t stop = begin + std::min(room, end - begin);

  // starts[i] - starts[begin] is the size of records [begin, i), each with its comma.
  const std::uint64_t bytes_room =
      limits.bytes_max - std::min(limits.bytes_max, batch.joined_bytes);
  const std::uint64_t bytes_end = chunk->starts[begin] + bytes_room;
  const auto first_beyond = std::upper_bound(chunk->starts.begin() + begin + 1,
                                             chunk->starts.begin() + stop + 1, bytes_end);
  stop = static_cast<std::uint32_t>(first_beyond - chunk->starts.begin()) - 1;
  if (stop == begin && batch.empty() && begin < end) stop = begin + 1;

  if (stop > begin) {
    const std::uint64_t bytes = chunk->starts[stop] - chunk->starts[begin];
    auto& records = batch.records;
    if (batch.empty()) {
      records.first = plus(chunk->first, begin);
      batch.stored = chunk->stored;
    }
    records.last = plus(chunk->first, stop - 1);
    batch.newest = chunk->stored;
    records.records += stop - begin;
    records.bytes += bytes - (stop - begin);
    batch.joined_bytes += bytes;
    if (records.runs.empty() || records.runs.back().chunk != chunk) {
      batch.memory_bytes += memory_of(*chunk);
    }
    records.runs.push_back({chunk, begin, stop});
  }
  batch.full = stop < end || batch.records.records >= limits.records_max;
  return stop;
}

void let_go_of_bytes(Batch& batch) {
  const connectors::FirstStored first = connectors::first_stored(batch.records.runs, ~0u);
  if (batch.first_stored.usage_s == 0) batch.first_stored.usage_s = first.usage_s;
  if (batch.first_stored.event_s == 0) batch.first_stored.event_s = first.event_s;
  batch.records.runs.clear();
  batch.memory_bytes = 0;
  batch.streamed = true;
}

void narrow(Batch& batch, std::uint32_t begin, std::uint32_t end) {
  SLUICE_ASSERT(!batch.streamed);
  std::vector<connectors::RecordRun> runs = std::exchange(batch.records.runs, {});
  const Losses inside = batch.inside;
  batch = {};
  std::uint32_t at = 0;
  for (const connectors::RecordRun& run : runs) {
    const std::uint32_t first = std::clamp(begin, at, at + run.count()) - at;
    const std::uint32_t last = std::clamp(end, at, at + run.count()) - at;
    if (first < last)
      take_records(batch, run.chunk, run.begin + first, run.begin + last, kNoLimits);
    at += run.count();
  }
  batch.inside = inside;
  batch.full = true;
}

Offset offset_of(const connectors::RecordBatch& records, std::uint32_t index) {
  for (const connectors::RecordRun& run : records.runs) {
    if (index < run.count()) return plus(run.chunk->first, run.begin + index);
    index -= run.count();
  }
  SLUICE_ASSERT(false);
  return records.last;
}

Selection::Selection(StreamId stream, std::shared_ptr<const filters::Filter> filter,
                     filters::Evaluator* evaluator)
    : stream_(stream), filter_(std::move(filter)), evaluator_(evaluator) {}

void Selection::take(Batch& batch, ChunkPart& part, const connectors::BatchLimits& limits) const {
  while (!part.empty() && !batch.full) {
    if (part.begin >= part.passing) find_passing(part, limits.records_max - batch.records.records);
    if (part.begin == part.passing) continue;
    part.begin = take_records(batch, part.chunk, part.begin, part.passing, limits);
  }
  if (filter_ != nullptr) copy_if_sparse(batch, *part.chunk);
}

// At most `room` records, more would not be taken. Leaves `begin` at the first of them, or where
// nothing is known beyond.
void Selection::find_passing(ChunkPart& part, std::uint32_t room) const {
  if (filter_ == nullptr && part.chunk->kind != Kind::Event) {
    part.passing = part.known = part.end;
    return;
  }
  // Without a filter nothing is saved by asking about few.
  if (filter_ == nullptr) room = ~0u;
  part.begin = std::max(part.begin, part.known);
  while (part.begin < part.end && !passes(*part.chunk, part.begin)) ++part.begin;
  part.passing = part.known = part.begin;
  if (part.empty()) return;
  const std::uint32_t stop = part.begin + std::min(room, part.end - part.begin);
  part.passing = part.known = part.begin + 1;
  while (part.passing < stop) {
    ++part.known;
    if (!passes(*part.chunk, part.passing)) return;
    ++part.passing;
  }
}

bool Selection::passes(const recordlog::Chunk& chunk, std::uint32_t record) const {
  const RecordColumns& columns = chunk.columns[record];
  if (chunk.kind == Kind::Event && is_alert_about(columns, stream_)) return false;
  return filter_ == nullptr ||
         evaluator_->passes(*filter_, chunk.kind, columns, chunk.record(record));
}

}  // namespace sluice::dispatch
