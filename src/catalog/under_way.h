#pragma once
// What crosses the catalog's files: how a process that starts finds them, and how a redrive and a
// replay's end get into them, so that a crash at any write leaves what the next start puts right.

#include <optional>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "catalog/dead_letters.h"
#include "catalog/replays.h"
#include "model/ids.h"

namespace sluice::catalog {

struct UnderWay {
  std::vector<Stream> streams;                   // also those that were replaced
  std::unordered_map<StreamId, Replay> replays;  // that go on, by their stream
};

// For a start, before anything else works with them: what lies beside the dead letters for streams
// and replays that are no more goes. Blocks; errors of the three.
Result<UnderWay> find_under_way(Catalog& catalog, Replays& replays, DeadLetters& letters);

// Marks dead letters of `stream` (as DeadLetters::mark()) for a redrive that is to begin. Its state
// is Cancelled where there are none. Errors also as Replays::create(). Blocks.
Result<Replay> create_redrive(Replays& replays, DeadLetters& letters, StreamId stream,
                              const std::optional<std::vector<Offset>>& offsets, WallTime now);

// `replay` has ended, as it says. `settled`: dead letters of a redrive that arrived and were not
// removed yet. After an error it is to be tried again. Blocks.
Result<void> end_replay(Replays& replays, DeadLetters& letters, const Replay& replay,
                        const std::vector<Offset>& settled);

}  // namespace sluice::catalog
