#include "dispatch/lanes.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "base/assert.h"
#include "connectors/common/message_key.h"

namespace sluice::dispatch {
namespace {

// A lane while its records are dealt out to it.
struct Dealt {
  std::size_t lane = 0;
  std::uint32_t records = 0;  // of its current request, with settled ones
  std::uint64_t bytes = 0;    // likewise, each record with its comma
  bool cut = false;           // before its next record
};

}  // namespace

void Lane::split(std::uint32_t first_records) {
  SLUICE_ASSERT(first_records > 0 && first_records <= request_records());
  if (first_records == request_records()) return;
  ends.push_back(at + first_records);
  request = {};
  ages_out_at.reset();
}

void Lane::pass(std::uint32_t first_records) {
  at += first_records;
  while (!ends.empty() && ends.back() <= at) ends.pop_back();
  request = {};
  ages_out_at.reset();
}

bool Run::any(Lane::Phase phase) const {
  return std::ranges::any_of(active, [&](std::uint32_t i) { return lanes[i].phase == phase; });
}

bool Run::busy() const {
  return std::ranges::any_of(active,
                             [&](std::uint32_t i) { return lanes[i].phase != Lane::Phase::Ready; });
}

Lane* Run::in(Lane::Phase phase) {
  const auto found =
      std::ranges::find_if(active, [&](std::uint32_t i) { return lanes[i].phase == phase; });
  return found == active.end() ? nullptr : &lanes[*found];
}

Lane& Run::of(const connectors::RecordBatch& request) {
  const auto found = std::ranges::find_if(
      active, [&](std::uint32_t i) { return &lanes[i].request.records == &request; });
  SLUICE_ASSERT(found != active.end());
  return lanes[*found];
}

Run make_run(const Batch& batch, const SettledAhead& settled,
             const connectors::BatchLimits& limits) {
  Run run;
  std::unordered_map<std::string, Dealt> devices;
  std::uint32_t index = 0;
  for (const connectors::RecordRun& part : batch.records.runs) {
    for (std::uint32_t i = part.begin; i < part.end; ++i, ++index) {
      run.records.push_back({plus(part.chunk->first, i), part.chunk->stored});
      const auto [found, is_new] =
          devices.try_emplace(connectors::message_key(*part.chunk, i), Dealt{run.lanes.size()});
      if (is_new) run.lanes.emplace_back();
      Dealt& dealt = found->second;
      const std::uint64_t bytes = part.chunk->record(i).size() + 1;
      if (dealt.records > 0 &&
          (dealt.records >= limits.records_max || dealt.bytes + bytes > limits.bytes_max)) {
        dealt.records = 0;
        dealt.bytes = 0;
        dealt.cut = true;
      }
      ++dealt.records;
      dealt.bytes += bytes;
      Lane& lane = run.lanes[dealt.lane];
      if (settled.contains(run.records.back().offset)) {
        dealt.cut = true;
        continue;
      }
      const auto size = static_cast<std::uint32_t>(lane.records.size());
      if (std::exchange(dealt.cut, false) && size > 0) lane.ends.push_back(size);
      lane.records.push_back(index);
    }
  }
  std::erase_if(run.lanes, [](const Lane& lane) { return lane.records.empty(); });
  for (Lane& lane : run.lanes) {
    lane.ends.push_back(static_cast<std::uint32_t>(lane.records.size()));
    std::ranges::reverse(lane.ends);
  }
  run.first_stored = connectors::first_stored(batch.records.runs, batch.records.records);
  return run;
}

Batch pick(const Batch& batch, std::span<const std::uint32_t> indexes) {
  Batch picked;
  auto next = indexes.begin();
  std::uint32_t at = 0;
  for (const connectors::RecordRun& run : batch.records.runs) {
    const std::uint32_t end = at + run.count();
    while (next != indexes.end() && *next < end) {
      const std::uint32_t first = *next;
      std::uint32_t last = first;
      while (++next != indexes.end() && *next == last + 1 && *next < end) ++last;
      take_records(picked, run.chunk, run.begin + (first - at), run.begin + (last + 1 - at),
                   kNoLimits);
    }
    if (next == indexes.end()) break;
    at = end;
  }
  SLUICE_ASSERT(next == indexes.end());
  return picked;
}

}  // namespace sluice::dispatch
