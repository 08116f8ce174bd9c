#pragma once
// Records that are fetched from a message queue instead of being sent. Each partition's messages
// come in runs; a run leaves its place in the chunks that it becomes (as a request with an
// Idempotency-Key does), so after a crash what is missing of it can be stored and nothing twice.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/server.h"
#include "model/kind.h"
#include "recordlog/recordlog.h"

namespace sluice::ingest {

// Messages [first, end) of a partition, as many of these positions as there are.
struct SourceRun {
  std::string partition;  // "kafka:TOPIC/3"; the quarantine shows it as the sender
  Kind kind = Kind::Event;
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  std::vector<std::uint64_t> positions;
  http::Body lines;  // a message a line, none of them empty
};

// The newest run of a partition that is known to have reached the log, at least in part.
struct StoredRun {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  bool whole = false;
};

recordlog::RequestMark mark_of(std::string_view partition, std::uint64_t first, std::uint64_t end);
// Of what the log has under mark_of(partition, ...).key.
std::optional<StoredRun> stored_run(std::span<const recordlog::StoredPiece> pieces);

}  // namespace sluice::ingest
