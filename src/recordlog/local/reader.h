#pragma once
// Reads one organisation's chunks in order, from the shared cache or the file.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "recordlog/local/chunk_decode.h"
#include "recordlog/local/log_context.h"
#include "recordlog/local/partition.h"

namespace sluice::recordlog {

class LocalReader final : public Reader {
 public:
  LocalReader(LogContext& context, const Partition& partition, OrganisationId organisation,
              KindSet kinds);
  ~LocalReader() override;

  Result<ReadResult> read(Offset from) override;

 private:
  struct Place {
    SegmentId segment;
    IndexEntry entry;
  };

  Result<std::optional<Place>> locate(const SegmentList& list, Offset from);
  std::optional<Place> next_ahead(Offset from);
  Result<void> look_ahead(const SegmentList& list, Offset from);
  Result<ReadResult> walk(const SegmentList& list, Offset from, Offset end);
  void account_gap(const SegmentList& list, std::uint64_t last_sequence, Offset to,
                   ReadResult& result) const;
  Result<std::shared_ptr<const Chunk>> load(const Place& at);
  Result<std::shared_ptr<const Chunk>> load_from_file(const Place& at);
  Result<std::shared_ptr<const Chunk>> load_small();
  std::span<const IndexEntry> small_ahead() const;
  Result<FrameView> read_small(const IndexEntry& entry, std::span<std::byte> into,
                               std::shared_ptr<const File>& file) const;
  Result<FrameView> read_frame(const File& file, const IndexEntry& entry,
                               std::span<std::byte> into) const;

  LogContext& context_;
  const Partition& partition_;
  const OrganisationId organisation_;
  const KindSet kinds_;
  // Entries in front, so that reading on searches no index: from ahead_next_ on all that end behind
  // ahead_from_, in the order of the log, of one segment.
  std::vector<IndexEntry> ahead_;
  std::size_t ahead_next_ = 0;
  SegmentId ahead_segment_;
  Offset ahead_from_;
};

}  // namespace sluice::recordlog
