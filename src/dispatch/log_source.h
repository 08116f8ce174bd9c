#pragma once
// The records of a batch that is not held in memory, read from the log while they are sent.

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "base/awaitable.h"
#include "base/result.h"
#include "connectors/connector.h"
#include "dispatch/batch.h"
#include "recordlog/recordlog.h"

namespace sluice::dispatch {

// Holds one chunk of the log at a time, whose reading may block. Threads: its stream's.
class LogSource final : public connectors::RecordSource {
 public:
  // `batch` is as it was counted: the records that `selection` takes from its first to its last.
  LogSource(std::unique_ptr<recordlog::Reader> reader, Selection selection,
            const connectors::RecordBatch& batch);

  void rewind() override;
  Awaitable<Result<std::optional<connectors::RecordRun>>> next() override;
  // The same, but others of the loop do not have their turn meanwhile.
  Result<std::optional<connectors::RecordRun>> next_at_once();

  // Lets go of the log; from then on there are errors only.
  void close() { reader_.reset(); }

 private:
  bool at_end() const { return at_ > last_; }
  bool has_run() const { return next_run_ < read_.records.runs.size(); }
  Result<void> read_chunk();
  Result<void> compare() const;

  std::unique_ptr<recordlog::Reader> reader_;
  const Selection selection_;
  const Offset first_;
  const Offset last_;
  const std::uint32_t records_;
  const std::uint64_t bytes_;

  Offset at_;   // where to read on
  Batch read_;  // since rewind(); its runs are those of the chunk read last
  std::size_t next_run_ = 0;
};

}  // namespace sluice::dispatch
