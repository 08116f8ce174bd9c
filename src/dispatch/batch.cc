#include "dispatch/batch.h"

#include <algorithm>

namespace sluice::dispatch {

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

}  // namespace sluice::dispatch
