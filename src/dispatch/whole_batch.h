#pragma once
// For tests: what a connector gets of a batch, whether it is held or comes with a source.

#include <optional>
#include <utility>

#include "dispatch/log_source.h"

namespace sluice::dispatch {

// nullopt: the log no longer has what was counted.
inline std::optional<connectors::RecordBatch> whole_batch(const connectors::RecordBatch& batch,
                                                          std::unique_ptr<recordlog::Reader> reader,
                                                          const Selection& selection) {
  connectors::RecordBatch whole = batch;
  if (!batch.runs.empty()) return whole;
  LogSource source(std::move(reader), selection, batch);
  while (true) {
    auto run = source.next_at_once();
    if (!run.has_value()) return std::nullopt;
    if (!run->has_value()) return whole;
    whole.runs.push_back(**std::move(run));
  }
}

}  // namespace sluice::dispatch
