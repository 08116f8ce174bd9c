#include "recordlog/local/segment_writer.h"

#include <algorithm>

#include "base/logging.h"
#include "recordlog/local/partition_files.h"

namespace sluice::recordlog {

SegmentHeader make_segment_header(const LogContext& context, SegmentId id,
                                  std::uint64_t previous_end) {
  SegmentHeader header;
  header.partition = id.partition;
  header.partitions = context.settings.partitions;
  header.sequence = id.sequence;
  header.created_ms = context.clock.now().ms;
  header.previous_end = previous_end;
  set_checksum(header);
  return header;
}

Result<std::unique_ptr<SegmentWriter>> SegmentWriter::create(LogContext& context, SegmentId id,
                                                             std::uint64_t previous_end) {
  Result<std::unique_ptr<File>> file = create_anew(context.fs, context.segment_path(id));
  if (!file) return file.error();
  auto writer = std::unique_ptr<SegmentWriter>(new SegmentWriter(context, *std::move(file)));
  // A file system that cannot reserve space still works, only slower.
  if (auto reserved = writer->file_->preallocate(context.settings.segment_bytes);
      !reserved && reserved.error().code == ErrorCode::ResourceExhausted) {
    return reserved.error();
  }
  SegmentHeader header = make_segment_header(context, id, previous_end);
  const iovec piece{&header, sizeof(header)};
  Result<void> result = writer->file_->write_at(0, {&piece, 1});
  if (result) result = writer->file_->sync_data();
  if (result) result = context.fs.sync_directory(context.partition_directory(id.partition));
  if (!result) return result.error();
  return writer;
}

std::uint64_t SegmentWriter::room() const {
  return segment_bytes_ - std::min(segment_bytes_, end_);
}

Result<void> SegmentWriter::append(std::span<const iovec> pieces, std::uint64_t bytes) {
  if (auto written = file_->write_at(end_, pieces); !written) return written;
  if (auto synced = file_->sync_data(); !synced) return synced;
  end_ += bytes;
  return {};
}

Result<std::uint64_t> SegmentWriter::seal(const SegmentIndex& index,
                                          std::span<const IndexMark> marks) {
  std::string footer = encode_footer(index, marks, end_);
  const iovec piece{footer.data(), footer.size()};
  Result<void> result = file_->write_at(end_, {&piece, 1});
  if (result) result = file_->truncate(end_ + footer.size());
  if (result) result = file_->sync_data();
  if (!result) return result.error();
  return end_ + footer.size();
}

void SegmentWriter::abandon() {
  if (auto cut = file_->truncate(end_); !cut) {
    logging::warn("cannot cut off a failed write", {{"reason", cut.error().message}});
  }
}

}  // namespace sluice::recordlog
