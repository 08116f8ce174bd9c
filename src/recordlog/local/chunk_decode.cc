#include "recordlog/local/chunk_decode.h"

#include <algorithm>
#include <cstring>
#include <functional>

namespace sluice::recordlog {
namespace {

Error corrupt(std::string_view what) { return {ErrorCode::Corruption, std::string(what)}; }

bool starts_are_sound(std::span<const std::uint32_t> starts, std::size_t joined_bytes) {
  return starts.front() == 0 && starts.back() == joined_bytes + 1 &&
         std::adjacent_find(starts.begin(), starts.end(), std::greater_equal<>()) == starts.end();
}

// Of the frame at `frame`, which is all there but perhaps for the text.
FrameView lay_out(const ChunkHeader& header, const std::byte* frame) {
  FrameView view;
  view.header = header;
  const std::byte* at = frame + sizeof(ChunkHeader) + header.marks_words * std::size_t{8};
  view.columns = {reinterpret_cast<const RecordColumns*>(at), header.count};
  at += view.columns.size_bytes();
  view.starts = {reinterpret_cast<const std::uint32_t*>(at), std::size_t{header.count} + 1};
  at += view.starts.size_bytes();
  view.joined = {reinterpret_cast<const char*>(at), header.joined_bytes};
  return view;
}

void describe(Chunk& chunk, const ChunkHeader& header) {
  chunk.organisation = OrganisationId{header.organisation};
  chunk.kind = *kind_from_byte(header.kind);
  chunk.first = Offset{header.first_offset};
  chunk.stored = {header.stored_ms};
}

}  // namespace

Result<FrameView> check_frame(std::span<const std::byte> frame) {
  const auto header =
      read_chunk_header({reinterpret_cast<const char*>(frame.data()), frame.size()});
  if (!header || header->frame_bytes != frame.size()) {
    return corrupt("the chunk's header is damaged");
  }
  const auto body = frame.subspan(sizeof(ChunkHeader));
  if (checksum_of(body.data(), body.size()) != header->body_checksum) {
    return corrupt("the chunk's checksum is wrong");
  }
  if (header->column_schema != kColumnSchema) {
    return corrupt("the chunk's column schema is unknown");
  }
  const FrameView view = lay_out(*header, frame.data());
  if (!starts_are_sound(view.starts, view.joined.size())) {
    return corrupt("the chunk's record starts are wrong");
  }
  return view;
}

std::shared_ptr<const Chunk> chunk_of(const FrameView& view, std::unique_ptr<std::byte[]> frame,
                                      std::shared_ptr<const void> payload) {
  auto chunk = std::make_shared<Chunk>();
  describe(*chunk, view.header);
  chunk->columns = view.columns;
  chunk->starts = view.starts;
  chunk->joined = view.joined;
  chunk->storage = std::move(frame);
  chunk->payload = std::move(payload);
  return chunk;
}

FrameView view_as_written(const std::byte* frame) {
  ChunkHeader header;
  std::memcpy(&header, frame, sizeof(header));
  return lay_out(header, frame);
}

std::shared_ptr<const Chunk> chunk_as_written(std::span<const iovec> pieces,
                                              std::string_view joined,
                                              std::shared_ptr<const void> payload) {
  ChunkHeader header;
  std::memcpy(&header, pieces[0].iov_base, sizeof(header));
  const std::size_t wanted =
      payload == nullptr ? header.frame_bytes : chunk_meta_bytes(header.marks_words, header.count);
  auto frame = std::make_unique_for_overwrite<std::byte[]>(wanted);
  std::size_t copied = 0;
  for (const iovec& piece : pieces) {
    const std::size_t part = std::min(piece.iov_len, wanted - copied);
    std::memcpy(frame.get() + copied, piece.iov_base, part);
    copied += part;
  }
  FrameView view = lay_out(header, frame.get());
  if (payload != nullptr) view.joined = joined;
  return chunk_of(view, std::move(frame), std::move(payload));
}

Result<std::shared_ptr<const Chunk>> decode_chunk(std::unique_ptr<std::byte[]> frame,
                                                  std::size_t bytes) {
  const Result<FrameView> view = check_frame({frame.get(), bytes});
  if (!view) return view.error();
  return chunk_of(*view, std::move(frame));
}

// Each frame has its columns, its starts, one more than its records, and its text, one comma less;
// the header's room holds the comma.
ChunkJoiner::ChunkJoiner(std::uint32_t records, std::size_t frame_bytes)
    : chunk_(std::make_shared<Chunk>()) {
  chunk_->storage = std::make_unique_for_overwrite<std::byte[]>(frame_bytes);
  // Columns first: they need the greatest alignment, which new[] gives.
  std::byte* at = chunk_->storage.get();
  columns_ = reinterpret_cast<RecordColumns*>(at);
  at += records * sizeof(RecordColumns);
  starts_ = reinterpret_cast<std::uint32_t*>(at);
  at += (records + 1) * sizeof(std::uint32_t);
  joined_ = reinterpret_cast<char*>(at);
}

void ChunkJoiner::add(const FrameView& frame) {
  if (records_ == 0) describe(*chunk_, frame.header);
  std::copy(frame.columns.begin(), frame.columns.end(), columns_ + records_);
  std::transform(frame.starts.begin(), frame.starts.end(), starts_ + records_,
                 [this](std::uint32_t start) { return bytes_ + start; });
  std::memcpy(joined_ + bytes_, frame.joined.data(), frame.joined.size());
  records_ += frame.header.count;
  bytes_ += static_cast<std::uint32_t>(frame.joined.size()) + 1;
  joined_[bytes_ - 1] = ',';
}

std::shared_ptr<const Chunk> ChunkJoiner::finish() {
  chunk_->columns = {columns_, records_};
  chunk_->starts = {starts_, records_ + 1};
  chunk_->joined = {joined_, bytes_ - 1};
  return std::move(chunk_);
}

}  // namespace sluice::recordlog
