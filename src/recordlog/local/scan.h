#pragma once
// Walks the frames of a segment file from its beginning, past whatever is
// damaged: for recovery, for rebuilding an index and for `sluice log`.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fs.h"
#include "base/result.h"
#include "recordlog/local/format.h"

namespace sluice::recordlog {

class FrameWalker {
 public:
  enum class Found : std::uint8_t {
    Chunk,         // `header` and `frame` are good
    DamagedChunk,  // `header` is good, the body is not, or the file ends in it
    Gap,           // `header` is good: damage that was repaired
    Index,         // the frames end here; the index may be damaged
    Unreadable,    // bytes that are neither a frame nor zeros, up to the next
                   // frame or the end
    End,           // nothing but zeros behind `position`
  };
  struct Step {
    Found found = Found::End;
    std::uint64_t position = 0;
    std::uint64_t bytes = 0;
    ChunkHeader header;      // Chunk, DamagedChunk and Gap
    std::string_view frame;  // Chunk: all of it, until the next call
  };

  // `file` outlives the walker. Begins behind the segment header, which the
  // caller looks at.
  explicit FrameWalker(const File& file) : file_(file) {}

  // Io only if the file cannot be read.
  Result<Step> next();

 private:
  // At least `bytes` from `position` on, fewer at the end of the file; valid
  // until the next call.
  Result<std::string_view> window(std::uint64_t position, std::size_t bytes);
  Result<Step> stepped(Step step, std::uint64_t frame_bytes);
  Result<Step> skip_unreadable();

  const File& file_;
  std::uint64_t position_ = sizeof(SegmentHeader);
  std::string buffer_;
  std::uint64_t buffer_position_ = 0;
};

}  // namespace sluice::recordlog
