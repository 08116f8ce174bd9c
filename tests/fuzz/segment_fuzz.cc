// libFuzzer: any bytes as a segment file, with their checksums made right so that what lies behind
// them is reached. Nothing may crash or read beyond; a start must cope, and repair must end: what
// it leaves, a second one finds no different.

#include <sys/uio.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/assert.h"
#include "base/logging.h"
#include "recordlog/inspect.h"
#include "recordlog/local/format.h"
#include "recordlog/local/log_context.h"
#include "recordlog/local/recovery.h"
#include "recordlog/repair.h"
#include "support/faulty_disk.h"

namespace sluice::logging {

void write(Level, std::string_view, std::initializer_list<Field>) {}  // thousands of them a second

}  // namespace sluice::logging

namespace sluice::recordlog {
namespace {

constexpr const char* kPath = "/log/p0/00000000000000000001.seg";

class FixedClock final : public Clock {
 public:
  WallTime now() const override { return {1'700'000'000'000}; }
  SteadyTime steady() const override { return SteadyTime{}; }
};

template <class Header>
void mend(std::string& bytes, std::size_t at) {
  Header header;
  if (at + sizeof(header) > bytes.size()) return;
  std::memcpy(&header, bytes.data() + at, sizeof(header));
  set_checksum(header);
  std::memcpy(bytes.data() + at, &header, sizeof(header));
}

template <class Header>
void mend_frame(std::string& bytes, std::size_t at) {
  Header header;
  if (at + sizeof(header) > bytes.size()) return;
  std::memcpy(&header, bytes.data() + at, sizeof(header));
  const std::size_t left = bytes.size() - at - sizeof(header);
  const std::size_t body = std::min<std::size_t>(
      left, std::max<std::size_t>(header.frame_bytes, sizeof(header)) - sizeof(header));
  header.body_checksum = checksum_of(bytes.data() + at + sizeof(header), body);
  if constexpr (std::is_same_v<Header, IndexHeader>) {
    const std::size_t table = std::size_t{header.organisations} * sizeof(IndexOrganisation);
    header.organisations_checksum =
        checksum_of(bytes.data() + at + sizeof(header), std::min(body, table));
  }
  std::memcpy(bytes.data() + at, &header, sizeof(header));
  mend<Header>(bytes, at);
}

// Backwards, so that a checksum over a body is of the body as it stays.
void mend_checksums(std::string& bytes) {
  for (std::size_t at = bytes.size() / 8 * 8; at > 0; at -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at - 8, sizeof(word));
    const auto magic = static_cast<std::uint32_t>(word);
    if (word == kSegmentMagic) mend<SegmentHeader>(bytes, at - 8);
    if (word == kTrailerMagic) mend<Trailer>(bytes, at - 8);
    if (magic == kChunkMagic) mend_frame<ChunkHeader>(bytes, at - 8);
    if (magic == kGapMagic) mend<ChunkHeader>(bytes, at - 8);
    if (magic == kIndexMagic) mend_frame<IndexHeader>(bytes, at - 8);
  }
}

void start_on(FileSystem& disk, const Clock& clock) {
  LocalSettings settings;
  settings.directory = "/log";
  settings.partitions = 1;
  Metrics metrics;
  auto quarantine = Quarantine::open(disk, "/log/quarantine", metrics);
  SLUICE_ASSERT(quarantine.has_value());
  LogContext context(settings, {disk, clock, metrics}, *std::move(quarantine));
  const auto recovered = recover_partition(context, 0);
  SLUICE_ASSERT(recovered || recovered.error().code == ErrorCode::InvalidArgument);
}

void check(std::string bytes) {
  testing::FaultyDisk disk;
  const FixedClock clock;
  SLUICE_ASSERT(disk.create_directories("/log/p0").has_value());
  SLUICE_ASSERT(disk.create_directories("/log/quarantine").has_value());
  {
    auto file = disk.open(kPath, OpenMode::CreateNew);
    SLUICE_ASSERT(file.has_value());
    const iovec piece{bytes.data(), bytes.size()};
    SLUICE_ASSERT((*file)->write_at(0, {&piece, 1}).has_value());
  }
  SLUICE_ASSERT(inspect_log(disk, "/log").has_value());
  SLUICE_ASSERT(verify_log(disk, "/log").has_value());
  SLUICE_ASSERT(for_each_record(disk, "/log", [](const FoundRecord& record) {
                  SLUICE_ASSERT(record.bytes.size() <= 1 << 30);
                }).has_value());
  start_on(disk, clock);
  const auto first = repair_log(disk, clock, "/log");
  if (!first) {
    SLUICE_ASSERT(first.error().code == ErrorCode::InvalidArgument);
    return;
  }
  const auto second = repair_log(disk, clock, "/log");
  SLUICE_ASSERT(second.has_value());
  SLUICE_ASSERT(second->found.size() == first->left.size());
  start_on(disk, clock);
}

}  // namespace
}  // namespace sluice::recordlog

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  sluice::recordlog::mend_checksums(bytes);
  sluice::recordlog::check(std::move(bytes));
  return 0;
}
