// libFuzzer: any bytes as the files of a stream journal, if the first byte asks for it with header
// and checksums made right so that what lies behind them is reached. Nothing may crash or read
// beyond; a start must cope, and what it found must be what the next start finds, whatever the
// files held, once the journal has been written to again.

#include <sys/uio.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/logging.h"
#include "dispatch/journal.h"
#include "support/faulty_disk.h"

namespace sluice::logging {

void write(Level, std::string_view, std::initializer_list<Field>) {}  // thousands of them a second

}  // namespace sluice::logging

namespace sluice::dispatch {
namespace {

constexpr std::uint8_t kMendEntries = 1;
constexpr std::uint8_t kMendHeader = 2;
constexpr std::uint8_t kTwoFiles = 4;

void mend(std::string& bytes, std::uint64_t sequence, std::uint8_t flags) {
  if ((flags & kMendHeader) != 0 && bytes.size() >= kJournalSlotBytes) {
    const JournalSlot header = encode_journal_header(sequence);
    std::copy(header.begin(), header.end(), bytes.begin());
  }
  if ((flags & kMendEntries) == 0) return;
  for (std::size_t at = kJournalSlotBytes; at + kJournalSlotBytes <= bytes.size();
       at += kJournalSlotBytes) {
    const std::size_t length = kJournalSlotBytes - sizeof(std::uint64_t);
    const std::uint64_t sum = XXH3_64bits_withSeed(bytes.data() + at, length, sequence);
    std::memcpy(bytes.data() + at + length, &sum, sizeof sum);
  }
}

std::set<StreamId> streams_in(const std::string& bytes) {
  std::set<StreamId> streams;
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= bytes.size(); at += kJournalSlotBytes) {
    std::uint64_t stream = 0;
    std::memcpy(&stream, bytes.data() + at, sizeof stream);
    streams.insert(StreamId{stream});
  }
  return streams;
}

void put_file(FileSystem& disk, std::uint64_t sequence, std::string& bytes) {
  auto file = disk.open("/journal/stream-0000000000000000000" + std::to_string(sequence) + ".log",
                        OpenMode::CreateNew);
  SLUICE_ASSERT(file.has_value());
  const iovec piece{bytes.data(), bytes.size()};
  SLUICE_ASSERT((*file)->write_at(0, {&piece, 1}).has_value());
}

void check(FileSystem& disk, const std::set<StreamId>& streams) {
  Metrics metrics;
  const Journal::Options options{.own_thread = false};
  auto first = Journal::open("/journal", disk, metrics, options);
  if (!first) {
    SLUICE_ASSERT(first.error().code == ErrorCode::Corruption);  // of another version
    return;
  }
  JournalEntry entry;
  entry.stream = StreamId{7};
  entry.cursor = Offset{42};
  bool written = false;
  (*first)->append(entry, [&](const Result<void>& done) { written = done.has_value(); });
  SLUICE_ASSERT(written);
  (*first)->stop();
  const auto second = Journal::open("/journal", disk, metrics, options);
  SLUICE_ASSERT(second.has_value());
  for (const StreamId stream : streams) {
    if (stream == entry.stream) continue;
    SLUICE_ASSERT((*second)->recovered(stream) == (*first)->recovered(stream));
  }
  SLUICE_ASSERT((*second)->recovered(entry.stream) == entry);
}

}  // namespace
}  // namespace sluice::dispatch

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::dispatch;
  if (size == 0) return 0;
  const std::uint8_t flags = data[0];
  std::string one(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::set<sluice::StreamId> streams = streams_in(one);
  std::string two;
  if ((flags & kTwoFiles) != 0) {
    two = one.substr(one.size() / kJournalSlotBytes / 2 * kJournalSlotBytes);
    one.resize(one.size() - two.size());
  }
  sluice::testing::FaultyDisk disk;
  SLUICE_ASSERT(disk.create_directories("/journal").has_value());
  mend(one, 1, flags);
  put_file(disk, 1, one);
  if (!two.empty()) {
    mend(two, 2, flags);
    put_file(disk, 2, two);
  }
  check(disk, streams);
  return 0;
}
