#pragma once
// When a partition's next commit group may begin: where many organisations send a little each, what
// they send gathers, so that their chunks hold more than a record or two (ADR 2).

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "recordlog/local/group_builder.h"

namespace sluice::recordlog {

// Threads: none; the commit thread's own.
class GroupPacer {
 public:
  // A group of so many chunks with less records each is followed by the next after kEvery, from
  // begin to begin; every other at once.
  static constexpr std::size_t kChunksMin = 64;
  static constexpr std::uint64_t kRecordsAChunk = 16;
  static constexpr std::chrono::milliseconds kEvery{8};

  void begins(SteadyTime now) { begun_ = now; }
  void consists_of(std::span<const PreparedChunk> chunks);
  SteadyTime next() const { return gathers_ ? begun_ + kEvery : SteadyTime::min(); }

 private:
  SteadyTime begun_;
  bool gathers_ = false;
};

}  // namespace sluice::recordlog
