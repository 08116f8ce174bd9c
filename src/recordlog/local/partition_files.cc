#include "recordlog/local/partition_files.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <array>
#include <cstring>
#include <map>

#include "recordlog/local/format.h"

namespace sluice::recordlog {
namespace {

constexpr std::string_view kSyncedName = "synced";
constexpr std::string_view kOffsetsName = "offsets";
constexpr std::uint64_t kSlotBytes = 512;  // a sector: written whole or not at all
constexpr std::uint64_t kOffsetsMagic = 0x0053544F4C53FF00;  // 00 FF 'SLOTS' 00

struct Slot {
  std::uint64_t number = 0;
  std::uint64_t sequence = 0;
  std::uint64_t position = 0;
  std::uint64_t checksum = 0;
};

struct OffsetsHeader {
  std::uint64_t magic = kOffsetsMagic;
  std::uint64_t organisations = 0;
  std::uint64_t body_checksum = 0;
  std::uint64_t checksum = 0;
};

struct OrganisationOffset {
  std::uint64_t organisation = 0;
  std::uint64_t next_offset = 0;
};

std::string path_of(const std::string& directory, std::string_view name) {
  return directory + "/" + std::string(name);
}

Result<void> write_all(File& file, std::uint64_t position, std::string_view bytes) {
  const iovec buffer{const_cast<char*>(bytes.data()), bytes.size()};
  return file.write_at(position, {&buffer, 1});
}

}  // namespace

Result<std::unique_ptr<File>> create_anew(FileSystem& fs, const std::string& path) {
  const Result<bool> exists = fs.exists(path);
  if (!exists) return exists.error();
  if (*exists) {
    if (auto removed = fs.remove(path); !removed) return removed.error();
  }
  return fs.open(path, OpenMode::CreateNew);
}

Result<void> replace_file(FileSystem& fs, const std::string& directory, const std::string& name,
                          std::string_view bytes) {
  const std::string path = directory + "/" + name;
  const std::string temporary = path + ".tmp";
  const Result<std::unique_ptr<File>> file = create_anew(fs, temporary);
  if (!file) return file.error();
  if (auto written = write_all(**file, 0, bytes); !written) return written;
  if (auto synced = (*file)->sync_data(); !synced) return synced;
  if (auto renamed = fs.rename(temporary, path); !renamed) return renamed;
  return fs.sync_directory(directory);
}

Result<std::uint32_t> count_partitions(FileSystem& fs, const std::string& directory) {
  for (std::uint32_t count = 0;; ++count) {
    const Result<bool> there = fs.exists(fmt::format("{}/p{}", directory, count));
    if (!there) return there.error();
    if (!*there) return count;
  }
}

Result<std::string> read_file(FileSystem& fs, const std::string& path) {
  const Result<std::unique_ptr<File>> file = fs.open(path, OpenMode::Read);
  if (!file) return file.error();
  const Result<std::uint64_t> size = (*file)->size();
  if (!size) return size.error();
  std::string bytes(*size, '\0');
  const Result<std::size_t> got = (*file)->read_at(0, bytes);
  if (!got) return got.error();
  bytes.resize(*got);
  return bytes;
}

Result<std::optional<SyncedMark>> SyncedMarkFile::read() {
  const Result<std::string> bytes = read_file(fs_, path_of(directory_, kSyncedName));
  if (!bytes && bytes.error().code == ErrorCode::NotFound) return std::optional<SyncedMark>();
  if (!bytes) return bytes.error();
  std::optional<SyncedMark> newest;
  for (const std::uint64_t at : {std::uint64_t{0}, kSlotBytes}) {
    Slot slot;
    if (bytes->size() < at + sizeof(slot)) continue;
    std::memcpy(&slot, bytes->data() + at, sizeof(slot));
    if (slot.checksum != checksum_of(&slot, offsetof(Slot, checksum))) continue;
    if (slot.number <= written_) continue;
    written_ = slot.number;
    newest = SyncedMark{slot.sequence, slot.position};
  }
  return newest;
}

Result<void> SyncedMarkFile::open_for_writing() {
  const std::string path = path_of(directory_, kSyncedName);
  const Result<bool> exists = fs_.exists(path);
  if (!exists) return exists.error();
  if (!*exists) {
    const std::string empty(2 * kSlotBytes, '\0');
    if (auto made = replace_file(fs_, directory_, std::string(kSyncedName), empty); !made) {
      return made;
    }
  }
  Result<std::unique_ptr<File>> file = fs_.open(path, OpenMode::ReadWrite);
  if (!file) return file.error();
  file_ = *std::move(file);
  return {};
}

Result<void> SyncedMarkFile::write(SyncedMark mark) {
  if (!file_) {
    if (auto opened = open_for_writing(); !opened) return opened;
  }
  Slot slot;
  slot.number = ++written_;
  slot.sequence = mark.sequence;
  slot.position = mark.position;
  set_checksum(slot);
  std::array<char, kSlotBytes> sector{};
  std::memcpy(sector.data(), &slot, sizeof(slot));
  Result<void> result =
      write_all(*file_, slot.number % 2 * kSlotBytes, {sector.data(), sector.size()});
  if (result) result = file_->sync_data();
  if (!result) file_.reset();  // never sync a descriptor again that failed
  return result;
}

Result<NextOffsets> read_next_offsets(FileSystem& fs, const std::string& directory) {
  const Result<std::string> bytes = read_file(fs, path_of(directory, kOffsetsName));
  if (!bytes && bytes.error().code == ErrorCode::NotFound) return NextOffsets();
  if (!bytes) return bytes.error();
  const Error damaged{ErrorCode::Corruption, path_of(directory, kOffsetsName) +
                                                 " is damaged: offsets of organisations "
                                                 "without records may be given out again"};
  OffsetsHeader header;
  if (bytes->size() < sizeof(header)) return damaged;
  std::memcpy(&header, bytes->data(), sizeof(header));
  const std::string_view body = std::string_view(*bytes).substr(sizeof(header));
  if (header.magic != kOffsetsMagic ||
      header.checksum != checksum_of(&header, offsetof(OffsetsHeader, checksum)) ||
      header.organisations * sizeof(OrganisationOffset) != body.size() ||
      header.body_checksum != checksum_of(body.data(), body.size())) {
    return damaged;
  }
  NextOffsets offsets;
  for (std::size_t at = 0; at < body.size(); at += sizeof(OrganisationOffset)) {
    OrganisationOffset one;
    std::memcpy(&one, body.data() + at, sizeof(one));
    offsets[OrganisationId{one.organisation}] = Offset{one.next_offset};
  }
  return offsets;
}

Result<void> write_next_offsets(FileSystem& fs, const std::string& directory,
                                const NextOffsets& offsets) {
  std::string body;
  for (const auto& [organisation, next_offset] : std::map(offsets.begin(), offsets.end())) {
    const OrganisationOffset one{organisation.value(), next_offset.value()};
    body.append(reinterpret_cast<const char*>(&one), sizeof(one));
  }
  OffsetsHeader header;
  header.organisations = offsets.size();
  header.body_checksum = checksum_of(body.data(), body.size());
  set_checksum(header);
  return replace_file(fs, directory, std::string(kOffsetsName),
                      std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body);
}

}  // namespace sluice::recordlog
