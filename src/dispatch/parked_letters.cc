#include "dispatch/parked_letters.h"

#include <span>
#include <string>
#include <utility>

#include "dispatch/letter_chunk.h"

namespace sluice::dispatch {
namespace {

constexpr std::uint32_t kLettersARead = 100;

}  // namespace

Result<void> store(const Actions::Park& park, StreamId stream, catalog::DeadLetters& letters,
                   WallTime now) {
  std::vector<catalog::DeadLetter> parked;
  static const std::vector<connectors::RecordRun> kNone;
  for (const connectors::RecordRun& run : park.records ? park.records->runs : kNone) {
    for (std::uint32_t i = run.begin; i < run.end; ++i) {
      parked.push_back({.offset = plus(run.chunk->first, i),
                        .columns = run.chunk->columns[i],
                        .kind = run.chunk->kind,
                        .parked = now,
                        .reason = park.reason,
                        .status = park.status,
                        .record = std::string(run.chunk->record(i))});
    }
  }
  const JournalSlot slot = encode(park.behind, kParkedSequence);
  return letters.park(
      stream, parked,
      {park.behind.stream, std::string(slot.data(), slot.size()) + park.ahead.encode()});
}

std::optional<ParkedState> decode_parked_state(std::string_view bytes) {
  if (bytes.size() < kJournalSlotBytes) return std::nullopt;
  const auto entry = decode(
      std::span<const char, kJournalSlotBytes>(bytes.data(), kJournalSlotBytes), kParkedSequence);
  auto ahead = SettledAhead::decode(bytes.substr(kJournalSlotBytes));
  if (!entry || !ahead) return std::nullopt;
  return ParkedState{*entry, *std::move(ahead)};
}

Result<recordlog::ReadResult> read_marked(catalog::DeadLetters& letters, StreamId stream,
                                          OrganisationId organisation, Offset from, Offset end) {
  const auto page = letters.marked(stream, from, kLettersARead);
  if (!page) return page.error();
  if (page->letters.empty()) return recordlog::ReadResult{.chunk = nullptr, .resume = end};
  const ChunkPtr chunk = chunk_of(page->letters, organisation);
  return recordlog::ReadResult{.chunk = chunk, .resume = chunk->end()};
}

}  // namespace sluice::dispatch
