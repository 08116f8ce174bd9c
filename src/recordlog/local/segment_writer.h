#pragma once
// The segment file that a partition writes to.

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>

#include "recordlog/local/log_context.h"

namespace sluice::recordlog {

// `previous_end`: see SegmentHeader.
SegmentHeader make_segment_header(const LogContext& context, SegmentId id,
                                  std::uint64_t previous_end);

// Threads: none; the commit thread's own.
class SegmentWriter {
 public:
  // Creates the file, reserves its space and makes its name durable. On an
  // error there may be a file of that name.
  // `previous_end`: see SegmentHeader.
  static Result<std::unique_ptr<SegmentWriter>> create(LogContext& context, SegmentId id,
                                                       std::uint64_t previous_end);

  std::uint64_t end() const { return end_; }  // behind the last synced byte
  bool empty() const { return end_ == sizeof(SegmentHeader); }
  std::uint64_t room() const;

  // Writes at end() and syncs. After an error only abandon() may be called.
  Result<void> append(std::span<const iovec> pieces, std::uint64_t bytes);
  // Writes the footer and cuts the file to its size, which it returns. An error
  // leaves a segment that is read by its chunks, as after a crash.
  Result<std::uint64_t> seal(const SegmentIndex& index, std::span<const IndexMark> marks);
  // Cuts off what may have been written behind end(), if the disk still does
  // that much.
  void abandon();

 private:
  SegmentWriter(LogContext& context, std::unique_ptr<File> file)
      : segment_bytes_(context.settings.segment_bytes), file_(std::move(file)) {}

  const std::uint64_t segment_bytes_;
  const std::unique_ptr<File> file_;
  std::uint64_t end_ = sizeof(SegmentHeader);
};

}  // namespace sluice::recordlog
