#pragma once
// Reads one organisation's chunks in order, from the shared cache or the file.

#include <cstdint>
#include <memory>

#include "recordlog/local/log_context.h"
#include "recordlog/local/partition.h"

namespace sluice::recordlog {

class LocalReader final : public Reader {
 public:
  LocalReader(LogContext& context, const Partition& partition, OrganisationId organisation,
              KindSet kinds)
      : context_(context), partition_(partition), organisation_(organisation), kinds_(kinds) {}

  Result<ReadResult> read(Offset from) override;

 private:
  struct Place {
    std::size_t segment = 0;  // index into the list
    Segment::FoundEntry found;
  };

  Result<std::optional<Place>> locate(const SegmentList& list, Offset from);
  Result<std::optional<Place>> locate_from(const SegmentList& list, std::size_t begin, Offset from,
                                           std::uint32_t hint);
  Result<ReadResult> walk(const SegmentList& list, Offset from, Offset end);
  void account_gap(const SegmentList& list, std::optional<std::size_t> until, Offset to,
                   ReadResult& result) const;
  Result<std::shared_ptr<const Chunk>> load(SegmentId segment, const IndexEntry& entry);
  Result<std::shared_ptr<const Chunk>> load_from_file(SegmentId segment, const IndexEntry& entry);

  LogContext& context_;
  const Partition& partition_;
  const OrganisationId organisation_;
  const KindSet kinds_;
  std::uint64_t hint_sequence_ = 0;  // where the last entry was
  std::uint32_t hint_number_ = 0;    // and the number of the one behind it
};

}  // namespace sluice::recordlog
