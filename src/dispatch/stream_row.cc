#include "dispatch/stream_row.h"

namespace sluice::dispatch {
namespace {

// What an operator waits for may count this much again after a crash.
constexpr std::chrono::seconds kFailingStep{60};

}  // namespace

RowState row_state(const catalog::Stream& row) {
  return {row.status,     row.status_before_pause,
          row.last_error, row.remote_status,
          row.revision,   row.start,
          row.park_to,    row.applied_revision,
          row.failing_s};
}

RowState row_state(const StreamMachine& machine, SteadyTime now) {
  const auto failing = machine.failing_for(now) / kFailingStep * kFailingStep;
  return {machine.kept_status(),
          machine.before_pause(),
          machine.kept_error(),
          machine.remote_status(),
          machine.revision(),
          machine.start(),
          machine.park_to(),
          machine.settings_revision(),
          static_cast<std::uint32_t>(failing.count())};
}

void put(const RowState& state, catalog::Stream& row) {
  row.status = state.status;
  row.status_before_pause = state.before_pause;
  row.last_error = state.last_error;
  row.remote_status = state.remote_status;
  row.revision = state.revision;
  row.start = state.start;
  row.park_to = state.park_to;
  row.applied_revision = state.applied_revision;
  row.failing_s = state.failing_s;
}

catalog::StreamStatus start_status(const catalog::Stream& row) {
  return row.replaced_by ? catalog::StreamStatus::Paused : row.status;
}

StreamMachine::Start start_of(const catalog::Stream& row, Offset end) {
  return {
      .status = start_status(row),
      .before_pause = row.status_before_pause,
      .last_error = row.last_error,
      .remote_status = row.remote_status,
      .revision = row.revision,
      .failing = std::chrono::seconds(row.failing_s),
      .new_destination = row.destination_revision > row.applied_revision,
      .cursor = row.start,
      .entry = {},
      .end = end,
      .park_to = row.replaced_by ? std::nullopt : row.park_to,
  };
}

StreamMachine::Start start_of(const catalog::Replay& replay) {
  StreamMachine::Start start;
  start.cursor = replay.from;
  start.end = replay.to;
  return start;
}

}  // namespace sluice::dispatch
