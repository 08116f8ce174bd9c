#pragma once
// A run (delivery.parallel above 1): a batch whose records go out by device, each device's in
// order, the devices beside each other.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "dispatch/batch.h"
#include "dispatch/delivery_settings.h"
#include "dispatch/settled_ahead.h"

namespace sluice::dispatch {

// What a run has at most.
inline constexpr std::uint32_t kRunRecordsMax = 1000;
inline constexpr std::uint64_t kRunBytesMax = 5 * kMiB;

// One device's records of a run, cut into requests that go out one after the other. A request has
// all the records of its device from its first to its last, so that these two name its bytes.
struct Lane {
  enum class Phase : std::uint8_t {
    Ready,
    Sending,
    ToPark,  // its request is, once no other lane's is
    Parking,
  };
  std::vector<std::uint32_t> records;  // indexes into the run
  std::uint32_t at = 0;                // the first that is not settled
  std::vector<std::uint32_t> ends;     // of the requests in `records`, that of the next one last

  Phase phase = Phase::Ready;
  Batch request;  // the next one; its bytes from its attempt on
  SteadyTime not_before{};
  SteadyTime sent_at{};
  std::optional<Milliseconds> answered_took;
  std::uint32_t failures = 0;       // in a row
  std::uint16_t misconfigured = 0;  // in a row
  std::optional<SteadyTime> ages_out_at;
  std::string refusal;        // why it is to be parked
  std::optional<int> status;  // that it was refused with; none: set aside

  bool settled() const { return ends.empty(); }
  std::uint32_t request_records() const { return ends.back() - at; }
  std::uint32_t last_record() const { return records[ends.back() - 1]; }
  // The request's first records are one of their own, the others the next.
  void split(std::uint32_t first_records);
  // The request's first records are settled.
  void pass(std::uint32_t first_records);
};

struct Run {
  std::vector<Lane> lanes;  // in the order of their first records
  // Lanes that have their turn, in that order; a lane keeps its turn until it is settled.
  std::vector<std::uint32_t> active;
  std::uint32_t next_lane = 0;  // the first that has not had it
  struct Record {
    Offset offset;
    WallTime stored;
  };
  std::vector<Record> records;
  connectors::FirstStored first_stored;
  SteadyTime hold_until{};  // Retry-After holds for all lanes
  bool any_delivered = false;
  std::uint32_t requests_delivered = 0;
  std::uint32_t largest_delivered = 0;  // request, in records
  std::uint32_t too_large = 0;          // the smallest request that was; 0: none

  // Of the lanes that have their turn.
  bool any(Lane::Phase phase) const;
  bool busy() const;  // one is not Ready
  Lane* in(Lane::Phase phase);
  Lane& of(const connectors::RecordBatch& request);  // which is under way
};

// Cuts a loaded run by `limits`, which hold for its requests. Records that are settled already are
// left out, without moving the cuts between the others.
Run make_run(const Batch& run, const SettledAhead& settled, const connectors::BatchLimits& limits);

// The records of the loaded `batch` with these indexes, which ascend.
Batch pick(const Batch& batch, std::span<const std::uint32_t> indexes);

}  // namespace sluice::dispatch
