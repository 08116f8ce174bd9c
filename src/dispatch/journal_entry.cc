#include "dispatch/journal_entry.h"

#include <xxhash.h>

#include <bit>
#include <cstring>
#include <string_view>

namespace sluice::dispatch {
namespace {

static_assert(std::endian::native == std::endian::little, "slots are little-endian");

constexpr std::string_view kMagic = "SLUJRNL2";
constexpr std::string_view kMagicOfAnyVersion = "SLUJRNL";
constexpr std::size_t kChecksumAt = 120;
constexpr std::size_t kChecksumOfVersion1At = 80;
constexpr std::uint8_t kHasPrevious = 1;

// As it lies on disk; no padding.
struct RawEntry {
  std::uint64_t stream;
  std::uint64_t cursor;
  std::uint64_t last;
  std::uint64_t previous;
  std::uint64_t delivered;
  std::uint64_t aged_out;
  std::uint64_t damaged;
  std::uint64_t dropped;
  std::uint32_t revision;
  std::uint32_t records;
  std::uint32_t filter_revision;
  std::uint32_t render_revision;
  std::uint8_t kind;
  std::uint8_t flags;
  std::uint16_t rejected_in_a_row;
  std::uint16_t misconfigured_in_a_row;
  std::uint16_t cut_delivered;
  std::uint32_t cut_records;
  std::uint32_t unused;
  std::uint64_t parked;
  std::uint32_t usage_stored_s;
  std::uint32_t event_stored_s;
  std::uint64_t skipped;
};
static_assert(sizeof(RawEntry) == kChecksumAt);

void seal(JournalSlot& slot, std::uint64_t sequence) {
  const std::uint64_t sum = XXH3_64bits_withSeed(slot.data(), kChecksumAt, sequence);
  std::memcpy(slot.data() + kChecksumAt, &sum, sizeof sum);
}

bool sealed(std::span<const char, kJournalSlotBytes> slot, std::uint64_t sequence,
            std::size_t checksum_at = kChecksumAt) {
  std::uint64_t sum;
  std::memcpy(&sum, slot.data() + checksum_at, sizeof sum);
  return sum == XXH3_64bits_withSeed(slot.data(), checksum_at, sequence);
}

}  // namespace

JournalSlot encode(const JournalEntry& entry, std::uint64_t sequence) {
  const RawEntry raw{
      .stream = entry.stream.value(),
      .cursor = entry.cursor.value(),
      .last = entry.last.value(),
      .previous = entry.previous ? entry.previous->value() : 0,
      .delivered = entry.delivered,
      .aged_out = entry.aged_out,
      .damaged = entry.damaged,
      .dropped = entry.dropped,
      .revision = entry.revision,
      .records = entry.records,
      .filter_revision = entry.filter_revision,
      .render_revision = entry.render_revision,
      .kind = static_cast<std::uint8_t>(entry.kind),
      .flags = entry.previous ? kHasPrevious : std::uint8_t{0},
      .rejected_in_a_row = entry.rejected_in_a_row,
      .misconfigured_in_a_row = entry.misconfigured_in_a_row,
      .cut_delivered = entry.cut_delivered,
      .cut_records = entry.cut_records,
      .unused = 0,
      .parked = entry.parked,
      .usage_stored_s = entry.usage_stored_s,
      .event_stored_s = entry.event_stored_s,
      .skipped = entry.skipped,
  };
  JournalSlot slot;
  std::memcpy(slot.data(), &raw, sizeof raw);
  seal(slot, sequence);
  return slot;
}

std::optional<JournalEntry> decode(std::span<const char, kJournalSlotBytes> slot,
                                   std::uint64_t sequence) {
  if (!sealed(slot, sequence)) return std::nullopt;
  RawEntry raw;
  std::memcpy(&raw, slot.data(), sizeof raw);
  if (raw.kind < static_cast<std::uint8_t>(JournalEntry::Kind::Boundary) ||
      raw.kind > static_cast<std::uint8_t>(JournalEntry::Kind::Removed)) {
    return std::nullopt;
  }
  JournalEntry entry;
  entry.stream = StreamId{raw.stream};
  entry.kind = static_cast<JournalEntry::Kind>(raw.kind);
  entry.cursor = Offset{raw.cursor};
  entry.last = Offset{raw.last};
  entry.records = raw.records;
  entry.revision = raw.revision;
  if ((raw.flags & kHasPrevious) != 0) entry.previous = Offset{raw.previous};
  entry.delivered = raw.delivered;
  entry.aged_out = raw.aged_out;
  entry.damaged = raw.damaged;
  entry.dropped = raw.dropped;
  entry.filter_revision = raw.filter_revision;
  entry.render_revision = raw.render_revision;
  entry.rejected_in_a_row = raw.rejected_in_a_row;
  entry.misconfigured_in_a_row = raw.misconfigured_in_a_row;
  entry.cut_delivered = raw.cut_delivered;
  entry.cut_records = raw.cut_records;
  entry.parked = raw.parked;
  entry.usage_stored_s = raw.usage_stored_s;
  entry.event_stored_s = raw.event_stored_s;
  entry.skipped = raw.skipped;
  return entry;
}

std::optional<JournalEntry> further(const std::optional<JournalEntry>& journal,
                                    const std::optional<JournalEntry>& parked) {
  if (!journal || !parked) return journal ? journal : parked;
  return journal->cursor >= parked->cursor ? journal : parked;
}

JournalSlot encode_journal_header(std::uint64_t sequence) {
  JournalSlot slot{};
  std::memcpy(slot.data(), kMagic.data(), kMagic.size());
  std::memcpy(slot.data() + kMagic.size(), &sequence, sizeof sequence);
  seal(slot, sequence);
  return slot;
}

JournalHeader check_journal_header(std::span<const char, kJournalSlotBytes> slot,
                                   std::uint64_t sequence) {
  const std::string_view magic(slot.data(), kMagic.size());
  if (!magic.starts_with(kMagicOfAnyVersion)) return JournalHeader::Damaged;
  if (sealed(slot, sequence)) {
    return magic == kMagic ? JournalHeader::Good : JournalHeader::NewerVersion;
  }
  const bool older = magic < kMagic && sealed(slot, sequence, kChecksumOfVersion1At);
  return older ? JournalHeader::OlderVersion : JournalHeader::Damaged;
}

}  // namespace sluice::dispatch
