#pragma once
// The bytes of a segment file as structures. Described, with a worked example,
// in docs/formats/segment.md: change that first. Little-endian, like every
// machine Sluice runs on, so that reading needs no decoding.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/kind.h"
#include "model/record_columns.h"

struct iovec;

namespace sluice::recordlog {

static_assert(std::endian::native == std::endian::little);

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::uint8_t kColumnSchema = 1;
inline constexpr std::uint64_t kFrameAlignment = 8;

// 0xFF and NUL occur in no JSON text, so record bytes never look like the
// beginning of a frame.
inline constexpr std::uint64_t kSegmentMagic = 0x00454349554C53FF;  // FF 'SLUICE' 00
inline constexpr std::uint64_t kTrailerMagic = 0x00444E45554C53FF;  // FF 'SLUEND' 00
inline constexpr std::uint32_t kChunkMagic = 0x004353FF;            // FF 'SC' 00
inline constexpr std::uint32_t kGapMagic = 0x004753FF;              // FF 'SG' 00
inline constexpr std::uint32_t kIndexMagic = 0x004953FF;            // FF 'SI' 00

struct SegmentHeader {
  std::uint64_t magic = kSegmentMagic;
  std::uint32_t version = kFormatVersion;
  std::uint32_t partition = 0;
  std::uint32_t partitions = 0;
  std::uint32_t reserved = 0;
  std::uint64_t sequence = 0;
  std::int64_t created_ms = 0;
  // Behind the last synced byte of the segment before this one, if that has no footer (else 0):
  // what lies there beyond is of a write that failed and must never be read.
  std::uint64_t previous_end = 0;
  std::uint64_t reserved_more = 0;
  std::uint64_t checksum = 0;  // of the bytes before it; so in every header below
};
static_assert(sizeof(SegmentHeader) == 64);

struct ChunkHeader {
  std::uint32_t magic = kChunkMagic;
  std::uint32_t frame_bytes = 0;  // header, body and padding: a multiple of 8
  std::uint64_t body_checksum = 0;
  std::uint64_t organisation = 0;
  std::uint64_t first_offset = 0;
  std::int64_t stored_ms = 0;
  std::uint32_t count = 0;         // records
  std::uint32_t joined_bytes = 0;  // of the records' text
  std::uint16_t marks_words = 0;   // 8-byte words of the marks block
  std::uint8_t kind = 0;
  std::uint8_t column_schema = kColumnSchema;
  std::uint32_t group_bytes = 0;  // of the same commit group before this frame
  std::uint64_t checksum = 0;
};
static_assert(sizeof(ChunkHeader) == 64);

// Records [index, index + count) of a chunk are records [first, first + count) of group `part` of a
// request that came with an Idempotency-Key.
struct ChunkMark {
  static constexpr std::uint8_t kRequest = 1;  // type
  static constexpr std::uint8_t kWords = 7;

  std::uint8_t type = kRequest;
  std::uint8_t words = kWords;  // of this mark: other types may have other sizes
  std::uint16_t index = 0;
  std::uint16_t count = 0;
  std::uint16_t reserved = 0;
  std::array<std::uint8_t, 16> key{};
  std::array<std::uint8_t, 16> body{};
  std::uint32_t accepted = 0;
  std::uint32_t rejected = 0;
  std::uint32_t part = 0;
  std::uint32_t first = 0;
};
static_assert(sizeof(ChunkMark) == ChunkMark::kWords * 8);

struct IndexMark {
  ChunkMark mark;
  std::int64_t stored_ms = 0;  // of its chunk
};
static_assert(sizeof(IndexMark) == 64);

struct IndexHeader {
  std::uint32_t magic = kIndexMagic;
  std::uint32_t frame_bytes = 0;
  std::uint64_t body_checksum = 0;
  std::uint32_t organisations = 0;
  std::uint32_t entries = 0;
  std::int64_t newest_stored_ms = 0;
  std::uint64_t lost_records_max = 0;        // see SegmentIndex
  std::uint64_t organisations_checksum = 0;  // of that table alone: mostly start-up reads no more
  std::uint32_t marks = 0;
  std::uint32_t reserved = 0;
  std::uint64_t checksum = 0;
};
static_assert(sizeof(IndexHeader) == 64);

struct IndexOrganisation {
  std::uint64_t organisation = 0;
  std::uint64_t first_offset = 0;
  std::uint64_t end_offset = 0;
  std::uint32_t first_entry = 0;
  std::uint32_t entries = 0;
};
static_assert(sizeof(IndexOrganisation) == 32);

struct IndexEntry {
  static constexpr std::uint8_t kDamaged = 1;  // flag: the chunk failed its checksum

  std::uint64_t first_offset = 0;
  std::int64_t stored_ms = 0;
  std::uint32_t position = 0;  // of the frame in the file
  std::uint32_t frame_bytes = 0;
  std::uint32_t count = 0;
  std::uint8_t kind = 0;
  std::uint8_t flags = 0;
  std::uint16_t reserved = 0;

  std::uint64_t end_offset() const { return first_offset + count; }
  bool damaged() const { return (flags & kDamaged) != 0; }
};
static_assert(sizeof(IndexEntry) == 32);

struct Trailer {
  std::uint64_t magic = kTrailerMagic;
  std::uint64_t index_position = 0;
  std::uint64_t reserved = 0;
  std::uint64_t checksum = 0;
};
static_assert(sizeof(Trailer) == 32);

// XXH3-64.
std::uint64_t checksum_of(const void* bytes, std::size_t count);
// Of the pieces one behind the other, without the first `skip` bytes, which are in the first.
std::uint64_t checksum_of(std::span<const iovec> pieces, std::size_t skip);

template <class Header>
void set_checksum(Header& header) {
  header.checksum = checksum_of(&header, offsetof(Header, checksum));
}

// The header at the beginning of `bytes`, if its magic and checksum are right
// and its sizes agree.
std::optional<SegmentHeader> read_segment_header(std::string_view bytes);
std::optional<ChunkHeader> read_chunk_header(std::string_view bytes);
// Of a gap: what repair put over damage, so that frames lie side by side again. Says what was lost:
// the records of one chunk, or with `count` 0 at most `first_offset` records of nobody knows whom.
std::optional<ChunkHeader> read_gap_header(std::string_view bytes);
std::optional<IndexHeader> read_index_header(std::string_view bytes);
std::optional<Trailer> read_trailer(std::string_view bytes);

// The marks of a chunk whose checksum is right. What makes no sense is passed over.
std::vector<ChunkMark> read_marks(std::string_view frame, const ChunkHeader& header);

constexpr std::uint64_t align_up(std::uint64_t bytes) {
  return (bytes + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}
// Of a chunk without the records' text and padding.
constexpr std::uint64_t chunk_meta_bytes(std::uint64_t marks_words, std::uint64_t count) {
  return sizeof(ChunkHeader) + marks_words * 8 + count * sizeof(RecordColumns) + (count + 1) * 4;
}
// The least that one record takes in a frame: how many could have been lost in
// so many bytes.
inline constexpr std::uint64_t kRecordBytesMin = sizeof(RecordColumns) + 4 + 2;

inline constexpr std::string_view kSegmentSuffix = ".seg";
std::string segment_name(std::uint64_t sequence);  // 20 digits and the suffix
std::optional<std::uint64_t> sequence_from_name(std::string_view name);

std::optional<Kind> kind_from_byte(std::uint8_t value);

}  // namespace sluice::recordlog
