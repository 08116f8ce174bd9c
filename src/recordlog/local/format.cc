#include "recordlog/local/format.h"

#define XXH_STATIC_LINKING_ONLY  // for a hash state on the stack
#include <fmt/format.h>
#include <sys/uio.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // picks AVX2 where the processor has it
#else
#include <xxhash.h>
#endif

#include <charconv>

namespace sluice::recordlog {
namespace {

template <class Header>
std::optional<Header> read_header(std::string_view bytes, decltype(Header::magic) magic) {
  if (bytes.size() < sizeof(Header)) return std::nullopt;
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != magic) return std::nullopt;
  if (header.checksum != checksum_of(&header, offsetof(Header, checksum))) return std::nullopt;
  return header;
}

}  // namespace

std::uint64_t checksum_of(const void* bytes, std::size_t count) {
  return XXH3_64bits(bytes, count);
}

std::uint64_t checksum_of(std::span<const iovec> pieces, std::size_t skip) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const iovec& piece : pieces) {
    XXH3_64bits_update(&state, static_cast<const char*>(piece.iov_base) + skip,
                       piece.iov_len - skip);
    skip = 0;
  }
  return XXH3_64bits_digest(&state);
}

std::optional<SegmentHeader> read_segment_header(std::string_view bytes) {
  return read_header<SegmentHeader>(bytes, kSegmentMagic);
}

std::optional<ChunkHeader> read_chunk_header(std::string_view bytes) {
  const auto header = read_header<ChunkHeader>(bytes, kChunkMagic);
  if (!header || header->count == 0 || !kind_from_byte(header->kind)) return std::nullopt;
  if (header->frame_bytes !=
      align_up(chunk_meta_bytes(header->marks_words, header->count) + header->joined_bytes)) {
    return std::nullopt;
  }
  return header;
}

std::optional<ChunkHeader> read_gap_header(std::string_view bytes) {
  const auto header = read_header<ChunkHeader>(bytes, kGapMagic);
  if (!header || header->frame_bytes < sizeof(ChunkHeader) ||
      header->frame_bytes % kFrameAlignment != 0) {
    return std::nullopt;
  }
  return header;
}

std::optional<IndexHeader> read_index_header(std::string_view bytes) {
  const auto header = read_header<IndexHeader>(bytes, kIndexMagic);
  if (!header) return std::nullopt;
  if (header->frame_bytes != sizeof(IndexHeader) +
                                 std::uint64_t{header->organisations} * sizeof(IndexOrganisation) +
                                 std::uint64_t{header->entries} * sizeof(IndexEntry) +
                                 std::uint64_t{header->marks} * sizeof(IndexMark)) {
    return std::nullopt;
  }
  return header;
}

std::optional<Trailer> read_trailer(std::string_view bytes) {
  return read_header<Trailer>(bytes, kTrailerMagic);
}

std::vector<ChunkMark> read_marks(std::string_view frame, const ChunkHeader& header) {
  std::vector<ChunkMark> marks;
  std::string_view left = frame.substr(sizeof(ChunkHeader), header.marks_words * std::size_t{8});
  while (!left.empty()) {
    const auto type = static_cast<std::uint8_t>(left[0]);
    const std::size_t bytes = static_cast<std::uint8_t>(left[1]) * std::size_t{8};
    if (bytes == 0 || bytes > left.size()) break;
    if (type == ChunkMark::kRequest && bytes == sizeof(ChunkMark)) {
      ChunkMark& mark = marks.emplace_back();
      std::memcpy(&mark, left.data(), sizeof(mark));
      if (mark.count == 0 || std::uint32_t{mark.index} + mark.count > header.count) {
        marks.pop_back();
      }
    }
    left.remove_prefix(bytes);
  }
  return marks;
}

std::string segment_name(std::uint64_t sequence) {
  return fmt::format("{:020}{}", sequence, kSegmentSuffix);
}

std::optional<std::uint64_t> sequence_from_name(std::string_view name) {
  if (name.size() != 20 + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) {
    return std::nullopt;
  }
  std::uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 20, sequence);
  if (error != std::errc{} || end != name.data() + 20) return std::nullopt;
  return sequence;
}

std::optional<Kind> kind_from_byte(std::uint8_t value) {
  for (const Kind kind : {Kind::Usage, Kind::Event, Kind::SensorEvent, Kind::Message}) {
    if (static_cast<std::uint8_t>(kind) == value) return kind;
  }
  return std::nullopt;
}

}  // namespace sluice::recordlog
