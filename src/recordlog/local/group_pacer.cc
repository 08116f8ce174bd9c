#include "recordlog/local/group_pacer.h"

namespace sluice::recordlog {

void GroupPacer::consists_of(std::span<const PreparedChunk> chunks) {
  std::uint64_t records = 0;
  for (const PreparedChunk& chunk : chunks) records += chunk.header->count;
  gathers_ = chunks.size() >= kChunksMin && records < kRecordsAChunk * chunks.size();
}

}  // namespace sluice::recordlog
