#include "catalog/under_way.h"

#include <utility>

namespace sluice::catalog {

Result<UnderWay> find_under_way(Catalog& catalog, Replays& replays, DeadLetters& letters) {
  auto streams = catalog.all_streams();
  if (!streams) return streams.error();
  auto running = replays.running();
  if (!running) return running.error();
  UnderWay found;
  std::vector<StreamId> keys;
  for (const Stream& stream : *streams) keys.push_back(stream.id);
  for (Replay& replay : *running) {
    keys.push_back(replay_key(replay.id));
    const StreamId stream = replay.stream;
    found.replays.emplace(stream, std::move(replay));
  }
  if (auto kept = letters.keep_only(keys); !kept) return kept.error();
  found.streams = *std::move(streams);
  return found;
}

// The catalog's row comes first: it keeps another redrive from setting its own marks.
Result<Replay> create_redrive(Replays& replays, DeadLetters& letters, StreamId stream,
                              const std::optional<std::vector<Offset>>& offsets, WallTime now) {
  Result<Replay> replay = replays.create({.stream = stream, .of_dead_letters = true}, now);
  if (!replay) return replay;
  const auto marked = letters.mark(stream, offsets);
  if (!marked || marked->count == 0) {
    replay->state = ReplayState::Cancelled;
    const Result<void> ended = replays.update(*replay);
    if (!ended) return ended.error();
    if (!marked) return marked.error();
    return replay;
  }
  replay->from = marked->first;
  replay->to = next(marked->last);
  replay->total = marked->count;
  const Result<void> ranged = replays.update(*replay);
  if (!ranged) return ranged.error();
  return replay;
}

// First the catalog: without it the replay would begin anew, from the start if the rest forgot.
Result<void> end_replay(Replays& replays, DeadLetters& letters, const Replay& replay,
                        const std::vector<Offset>& settled) {
  if (!settled.empty()) {
    const auto removed = letters.remove(replay.stream, settled);
    if (!removed) return removed.error();
  }
  if (auto updated = replays.update(replay); !updated) return updated;
  if (replay.of_dead_letters) {
    if (auto unmarked = letters.unmark(replay.stream); !unmarked) return unmarked;
  }
  return letters.forget(replay_key(replay.id));
}

}  // namespace sluice::catalog
