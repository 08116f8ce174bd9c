#pragma once
// One entry of the stream journal: where a stream stands. Bytes: docs/formats/stream-journal.md.

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "model/ids.h"

namespace sluice::dispatch {

// The newest entry of a stream is its whole state. Every entry is true from the moment
// it is appended, so an older one that survives in its place costs repeats and nothing else.
struct JournalEntry {
  enum class Kind : std::uint8_t {
    Boundary = 1,  // the batch [cursor, last] is frozen: it is sent as it is, until settled
    Cursor = 2,    // nothing is frozen
    Removed = 3,   // the stream is gone
  };

  StreamId stream;  // or catalog::replay_key()
  Kind kind = Kind::Cursor;
  Offset cursor;              // everything before it is settled
  Offset last;                // Boundary: the last record of the batch
  std::uint32_t records = 0;  // Boundary: how many it has; fewer on reading means loss
  std::uint32_t revision = 1;
  std::optional<Offset> previous;  // last record of the last batch settled
  std::uint64_t delivered = 0;     // the stream's counts up to `cursor`
  std::uint64_t skipped = 0;       // not sent, as the destination makes nothing of them
  std::uint64_t aged_out = 0;
  std::uint64_t damaged = 0;
  std::uint64_t dropped = 0;
  std::uint64_t parked = 0;  // of them as dead letters
  std::uint32_t filter_revision = 0;
  std::uint32_t render_revision = 0;
  // In a row, also across restarts; what delivery.rejected_in_a_row and the like look at.
  std::uint16_t rejected_in_a_row = 0;
  std::uint16_t misconfigured_in_a_row = 0;
  // Not 0: after "too large" batches have at most so many records, until enough were delivered.
  std::uint32_t cut_records = 0;
  std::uint16_t cut_delivered = 0;
  std::uint32_t usage_stored_s = 0;  // RecordBatch::delivered_stored of the next batch
  std::uint32_t event_stored_s = 0;
  friend bool operator==(const JournalEntry&, const JournalEntry&) = default;
};

inline constexpr std::size_t kJournalSlotBytes = 128;
using JournalSlot = std::array<char, kJournalSlotBytes>;

// `sequence` is the file's: a slot is good in its own file only.
JournalSlot encode(const JournalEntry& entry, std::uint64_t sequence);
// Nullopt: not an entry of that file, or damaged.
std::optional<JournalEntry> decode(std::span<const char, kJournalSlotBytes> slot,
                                   std::uint64_t sequence);

// Instead of a file's: of the states that lie with the dead letters.
inline constexpr std::uint64_t kParkedSequence = ~0ull;
// Where a stream stands by its journal and by its dead letters: one of them may be behind.
std::optional<JournalEntry> further(const std::optional<JournalEntry>& journal,
                                    const std::optional<JournalEntry>& parked);

// A file's first slot.
JournalSlot encode_journal_header(std::uint64_t sequence);
enum class JournalHeader : std::uint8_t { Good, Damaged, OlderVersion, NewerVersion };
JournalHeader check_journal_header(std::span<const char, kJournalSlotBytes> slot,
                                   std::uint64_t sequence);

}  // namespace sluice::dispatch
