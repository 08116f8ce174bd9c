#pragma once
// The half of a stream's row in the catalog that dispatch writes, and what its machine starts from.
// Internal to dispatch.

#include <cstdint>
#include <optional>
#include <string>

#include "catalog/catalog.h"
#include "catalog/replays.h"
#include "dispatch/stream_machine.h"

namespace sluice::dispatch {

struct RowState {
  catalog::StreamStatus status = catalog::StreamStatus::Running;
  catalog::StreamStatus before_pause = catalog::StreamStatus::Running;
  std::string last_error;
  std::optional<int> remote_status;
  std::uint32_t revision = 1;
  Offset start;
  std::optional<Offset> park_to;
  std::uint32_t applied_revision = 0;
  std::uint32_t failing_s = 0;
  friend bool operator==(const RowState&, const RowState&) = default;
};

RowState row_state(const catalog::Stream& row);
RowState row_state(const StreamMachine& machine, SteadyTime now);
void put(const RowState& state, catalog::Stream& row);

// One that was replaced stands still, whatever was written late.
catalog::StreamStatus start_status(const catalog::Stream& row);
// But for what the journal and the dead letters say. `end`: of the log.
StreamMachine::Start start_of(const catalog::Stream& row, Offset end);
StreamMachine::Start start_of(const catalog::Replay& replay);

}  // namespace sluice::dispatch
