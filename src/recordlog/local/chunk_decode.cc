#include "recordlog/local/chunk_decode.h"

#include <algorithm>
#include <functional>

#include "recordlog/local/format.h"

namespace sluice::recordlog {
namespace {

Error corrupt(std::string_view what) { return {ErrorCode::Corruption, std::string(what)}; }

bool starts_are_sound(std::span<const std::uint32_t> starts, std::size_t joined_bytes) {
  return starts.front() == 0 && starts.back() == joined_bytes + 1 &&
         std::adjacent_find(starts.begin(), starts.end(), std::greater_equal<>()) == starts.end();
}

}  // namespace

Result<std::shared_ptr<const Chunk>> decode_chunk(std::unique_ptr<std::byte[]> frame,
                                                  std::size_t bytes) {
  const auto header = read_chunk_header({reinterpret_cast<const char*>(frame.get()), bytes});
  if (!header || header->frame_bytes != bytes) return corrupt("the chunk's header is damaged");
  const std::byte* at = frame.get() + sizeof(ChunkHeader);
  if (checksum_of(at, bytes - sizeof(ChunkHeader)) != header->body_checksum) {
    return corrupt("the chunk's checksum is wrong");
  }
  if (header->column_schema != kColumnSchema) {
    return corrupt("the chunk's column schema is unknown");
  }
  auto chunk = std::make_shared<Chunk>();
  chunk->organisation = OrganisationId{header->organisation};
  chunk->kind = *kind_from_byte(header->kind);
  chunk->first = Offset{header->first_offset};
  chunk->stored = {header->stored_ms};
  at += header->marks_words * std::size_t{8};
  chunk->columns = {reinterpret_cast<const RecordColumns*>(at), header->count};
  at += chunk->columns.size_bytes();
  chunk->starts = {reinterpret_cast<const std::uint32_t*>(at), std::size_t{header->count} + 1};
  at += chunk->starts.size_bytes();
  chunk->joined = {reinterpret_cast<const char*>(at), header->joined_bytes};
  if (!starts_are_sound(chunk->starts, chunk->joined.size())) {
    return corrupt("the chunk's record starts are wrong");
  }
  chunk->storage = std::move(frame);
  return std::shared_ptr<const Chunk>(std::move(chunk));
}

}  // namespace sluice::recordlog
