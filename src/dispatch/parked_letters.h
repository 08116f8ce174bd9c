#pragma once
// What streams and redrives do with the dead letters. Block (SQLite). Internal to dispatch.

#include <optional>
#include <string_view>
#include <vector>

#include "catalog/dead_letters.h"
#include "dispatch/journal_entry.h"
#include "dispatch/settled_ahead.h"
#include "dispatch/stream_machine.h"

namespace sluice::dispatch {

// What the machine asked for: the records become `stream`'s, with the reason, in one step with
// where it stands behind them.
Result<void> store(const Actions::Park& park, StreamId stream, catalog::DeadLetters& letters,
                   WallTime now);

struct ParkedState {
  JournalEntry entry;
  SettledAhead ahead;
};
// Nullopt: damaged.
std::optional<ParkedState> decode_parked_state(std::string_view bytes);

// What a redrive before `end` reads at `from`: some of the marked letters, as if of the log.
Result<recordlog::ReadResult> read_marked(catalog::DeadLetters& letters, StreamId stream,
                                          OrganisationId organisation, Offset from, Offset end);

}  // namespace sluice::dispatch
