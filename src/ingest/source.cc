#include "ingest/source.h"

#include "ingest/idempotency.h"

namespace sluice::ingest {
namespace {

// Big-endian, so that later runs are greater (MarkTable).
void put(std::uint8_t* to, std::uint64_t number) {
  for (int i = 7; i >= 0; --i, number >>= 8) to[i] = static_cast<std::uint8_t>(number);
}

std::uint64_t get(const std::uint8_t* from) {
  std::uint64_t number = 0;
  for (int i = 0; i < 8; ++i) number = number << 8 | from[i];
  return number;
}

}  // namespace

recordlog::RequestMark mark_of(std::string_view partition, std::uint64_t first, std::uint64_t end) {
  recordlog::RequestMark mark{.key = hash_of_source(partition)};
  put(mark.body.data(), first);
  put(mark.body.data() + 8, end);
  return mark;
}

std::optional<StoredRun> stored_run(std::span<const recordlog::StoredPiece> pieces) {
  if (pieces.empty()) return std::nullopt;
  const recordlog::RequestMark& mark = pieces.front().mark;
  return StoredRun{get(mark.body.data()), get(mark.body.data() + 8), is_whole(pieces)};
}

}  // namespace sluice::ingest
