#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "recordlog/local/format.h"
#include "recordlog/recordlog.h"

namespace sluice::recordlog {

// The parts of a frame as it lies in a segment.
struct FrameView {
  ChunkHeader header;
  std::span<const RecordColumns> columns;
  std::span<const std::uint32_t> starts;
  std::string_view joined;
};

// `frame` is aligned to 8 bytes. Corruption: anything about it is wrong, the checksum above all.
Result<FrameView> check_frame(std::span<const std::byte> frame);

// The same of a frame that is in memory as it was written.
FrameView view_as_written(const std::byte* frame);

// A Chunk whose views point into the frame, or `view.joined` into `payload`: nothing is copied.
std::shared_ptr<const Chunk> chunk_of(const FrameView& view, std::unique_ptr<std::byte[]> frame,
                                      std::shared_ptr<const void> payload = nullptr);

// A Chunk of the frame that was written as `pieces`, of which a copy is made; where `payload` is
// not null, its text is `joined`, and `pieces` are copied up to it only.
std::shared_ptr<const Chunk> chunk_as_written(std::span<const iovec> pieces,
                                              std::string_view joined,
                                              std::shared_ptr<const void> payload);

// Both in one.
Result<std::shared_ptr<const Chunk>> decode_chunk(std::unique_ptr<std::byte[]> frame,
                                                  std::size_t bytes);

// Makes one Chunk of several that follow one another. Threads: none.
class ChunkJoiner {
 public:
  // Room for that many records, whose frames take `frame_bytes` together.
  ChunkJoiner(std::uint32_t records, std::size_t frame_bytes);

  void add(const FrameView& frame);  // copies
  // After at least one add(), once.
  std::shared_ptr<const Chunk> finish();

 private:
  std::shared_ptr<Chunk> chunk_;
  RecordColumns* columns_;
  std::uint32_t* starts_;
  char* joined_;
  std::uint32_t records_ = 0;
  std::uint32_t bytes_ = 0;  // of `joined_`, a comma behind each record
};

}  // namespace sluice::recordlog
