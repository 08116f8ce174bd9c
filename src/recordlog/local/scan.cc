#include "recordlog/local/scan.h"

#include <algorithm>
#include <cstring>

#include "base/units.h"

namespace sluice::recordlog {
namespace {

constexpr std::size_t kWindowBytes = 1 * kMiB;

bool is_chunk_body_good(std::string_view frame, const ChunkHeader& header) {
  const std::string_view body = frame.substr(sizeof(ChunkHeader));
  return checksum_of(body.data(), body.size()) == header.body_checksum;
}

bool begins_frame(std::string_view bytes) {
  std::uint32_t magic = 0;
  std::memcpy(&magic, bytes.data(), sizeof(magic));
  if (magic == kChunkMagic) return read_chunk_header(bytes).has_value();
  if (magic == kGapMagic) return read_gap_header(bytes).has_value();
  return magic == kIndexMagic && read_index_header(bytes).has_value();
}

bool is_zero(std::string_view word) {
  std::uint64_t value = 0;
  std::memcpy(&value, word.data(), std::min(word.size(), sizeof(value)));
  return value == 0;
}

}  // namespace

Result<std::string_view> FrameWalker::window(std::uint64_t position, std::size_t bytes) {
  const bool inside =
      position >= buffer_position_ && position + bytes <= buffer_position_ + buffer_.size();
  if (!inside) {
    const Result<std::uint64_t> size = file_.size();
    if (!size) return size.error();
    const std::uint64_t left = *size - std::min(position, *size);
    buffer_.resize(std::min<std::uint64_t>(left, std::max(bytes, kWindowBytes)));
    const Result<std::size_t> got = file_.read_at(position, buffer_);
    if (!got) return got.error();
    buffer_.resize(*got);
    buffer_position_ = position;
  }
  return std::string_view(buffer_).substr(position - buffer_position_);
}

Result<FrameWalker::Step> FrameWalker::next() {
  const Result<std::string_view> bytes = window(position_, sizeof(ChunkHeader));
  if (!bytes) return bytes.error();
  Step step;
  step.position = position_;
  if (const auto index = read_index_header(*bytes)) {
    step.found = Found::Index;
    return stepped(step, index->frame_bytes);
  }
  if (const auto gap = read_gap_header(*bytes)) {
    step.found = Found::Gap;
    step.header = *gap;
    return stepped(step, gap->frame_bytes);
  }
  const auto header = read_chunk_header(*bytes);
  if (!header) return skip_unreadable();
  step.header = *header;
  const Result<std::string_view> frame = window(position_, header->frame_bytes);
  if (!frame) return frame.error();
  step.frame = frame->substr(0, header->frame_bytes);
  step.bytes = step.frame.size();
  const bool good = step.bytes == header->frame_bytes && is_chunk_body_good(step.frame, *header);
  step.found = good ? Found::Chunk : Found::DamagedChunk;
  position_ += step.bytes;
  return step;
}

// A length that the file does not bear out counts as far as the file goes.
Result<FrameWalker::Step> FrameWalker::stepped(Step step, std::uint64_t frame_bytes) {
  const Result<std::uint64_t> size = file_.size();
  if (!size) return size.error();
  step.bytes = std::min(frame_bytes, *size - position_);
  position_ += step.bytes;
  return step;
}

// Frames lie on multiples of 8, so the next one is found by trying each of
// them.
Result<FrameWalker::Step> FrameWalker::skip_unreadable() {
  Step step;
  step.position = position_;
  std::uint64_t nonzero_end = position_;  // one past the last byte that is not zero
  for (;;) {
    const Result<std::string_view> bytes = window(position_, sizeof(ChunkHeader));
    if (!bytes) return bytes.error();
    const bool last = bytes->size() < sizeof(ChunkHeader);
    std::size_t at = 0;
    for (; at < bytes->size() && (last || at + sizeof(ChunkHeader) <= bytes->size());
         at += kFrameAlignment) {
      const std::string_view word = bytes->substr(at, kFrameAlignment);
      if (is_zero(word)) continue;
      nonzero_end = position_ + at + word.size();
      if (!last && position_ + at > step.position && begins_frame(bytes->substr(at))) {
        position_ += at;
        step.found = Found::Unreadable;
        step.bytes = position_ - step.position;
        return step;
      }
    }
    position_ += std::min(at, bytes->size());
    if (last) break;
  }
  step.found = nonzero_end > step.position ? Found::Unreadable : Found::End;
  step.bytes = nonzero_end - step.position;
  return step;
}

}  // namespace sluice::recordlog
