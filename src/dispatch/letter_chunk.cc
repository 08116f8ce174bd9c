#include "dispatch/letter_chunk.h"

#include <cstring>
#include <string>

#include "base/assert.h"

namespace sluice::dispatch {

ChunkPtr chunk_of(std::span<const catalog::DeadLetter> letters, OrganisationId organisation) {
  SLUICE_ASSERT(!letters.empty());
  const catalog::DeadLetter& first = letters.front();
  std::size_t count = 0;
  std::size_t bytes = 0;
  while (count < letters.size() && letters[count].kind == first.kind &&
         letters[count].offset == plus(first.offset, count)) {
    bytes += letters[count++].record.size() + 1;
  }
  const std::size_t columns_bytes = count * sizeof(RecordColumns);
  const std::size_t starts_bytes = (count + 1) * sizeof(std::uint32_t);
  auto chunk = std::make_shared<recordlog::Chunk>();
  // Columns first: they need the greatest alignment, which new[] gives.
  chunk->storage = std::make_unique<std::byte[]>(columns_bytes + starts_bytes + bytes);
  auto* columns = reinterpret_cast<RecordColumns*>(chunk->storage.get());
  auto* starts = reinterpret_cast<std::uint32_t*>(chunk->storage.get() + columns_bytes);
  auto* joined = reinterpret_cast<char*>(chunk->storage.get() + columns_bytes + starts_bytes);
  std::uint32_t at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& record = letters[i].record;
    columns[i] = letters[i].columns;
    starts[i] = at;
    std::memcpy(joined + at, record.data(), record.size());
    at += static_cast<std::uint32_t>(record.size());
    joined[at++] = ',';
  }
  starts[count] = at;
  chunk->organisation = organisation;
  chunk->kind = first.kind;
  chunk->first = first.offset;
  chunk->stored = first.parked;
  chunk->joined = {joined, at - 1};
  chunk->starts = {starts, count + 1};
  chunk->columns = {columns, count};
  return chunk;
}

}  // namespace sluice::dispatch
