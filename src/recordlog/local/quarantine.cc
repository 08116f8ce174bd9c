#include "recordlog/local/quarantine.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "base/logging.h"
#include "base/units.h"
#include "recordlog/local/partition_files.h"

namespace sluice::recordlog {
namespace {

constexpr std::string_view kDamageSuffix = ".damaged";
constexpr std::string_view kTornSuffix = ".torn";
// Torn tails hold nothing that was acknowledged: a few to look at are enough.
constexpr std::uint32_t kTornCopiesMax = 32;

std::string name_of(Quarantine::Place place, Quarantine::Why why) {
  return fmt::format("p{}-{:020}-{}{}", place.partition, place.sequence, place.position,
                     why == Quarantine::Why::Damage ? kDamageSuffix : kTornSuffix);
}

std::optional<Quarantine::Place> damaged_place(const std::string& name) {
  Quarantine::Place place;
  if (std::sscanf(name.c_str(), "p%u-%lu-%lu", &place.partition, &place.sequence,
                  &place.position) != 3) {
    return std::nullopt;
  }
  if (name != name_of(place, Quarantine::Why::Damage)) return std::nullopt;
  return place;
}

}  // namespace

Result<std::unique_ptr<Quarantine>> Quarantine::open(FileSystem& fs, std::string directory,
                                                     Metrics& metrics) {
  const Result<std::vector<std::string>> names = fs.list(directory);
  if (!names) return names.error();
  auto quarantine = std::unique_ptr<Quarantine>(
      new Quarantine(fs, std::move(directory),
                     metrics.gauge("sluice_recordlog_quarantined_chunks",
                                   "Places in the log that could not be read; "
                                   "their bytes are in quarantine.")));
  for (const std::string& name : *names) {
    if (const auto place = damaged_place(name)) quarantine->note_damage(*place);
    if (name.ends_with(kTornSuffix)) ++quarantine->torn_copies_;
  }
  return quarantine;
}

Result<void> Quarantine::keep(const File& file, Place place, std::uint64_t bytes, Why why) {
  if (why == Why::Damage) {
    if (is_damaged(place)) return {};
    note_damage(place);
  }
  const std::string name = name_of(place, why);
  const auto report = why == Why::Damage ? &logging::error : &logging::warn;
  report(why == Why::Damage ? "the log is damaged: bytes moved to quarantine"
                            : "unfinished write at the end of a segment moved to quarantine",
         {{"file", name}, {"bytes", bytes}});
  const Result<bool> exists = fs_.exists(directory_ + "/" + name);
  if (!exists) return exists.error();
  if (*exists) return {};
  if (why == Why::TornTail && torn_copies_.fetch_add(1) >= kTornCopiesMax) return {};
  return copy(file, name, place.position, bytes);
}

Result<void> Quarantine::copy(const File& file, const std::string& name, std::uint64_t position,
                              std::uint64_t bytes) {
  const std::string path = directory_ + "/" + name;
  const std::string temporary = path + ".tmp";
  const Result<std::unique_ptr<File>> opened = create_anew(fs_, temporary);
  if (!opened) return opened.error();
  File& into = **opened;
  std::string part;
  for (std::uint64_t at = 0; at < bytes; at += part.size()) {
    part.resize(std::min(bytes - at, 1 * kMiB));
    const Result<std::size_t> got = file.read_at(position + at, part);
    if (!got) return got.error();
    if (*got == 0) break;
    part.resize(*got);
    const iovec buffer{part.data(), part.size()};
    if (auto written = into.write_at(at, {&buffer, 1}); !written) return written;
  }
  if (auto synced = into.sync_data(); !synced) return synced;
  if (auto renamed = fs_.rename(temporary, path); !renamed) return renamed;
  return fs_.sync_directory(directory_);
}

bool Quarantine::is_damaged(Place place) const {
  const MutexLock lock(mutex_);
  return damaged_.contains(place);
}

std::uint64_t Quarantine::damaged() const {
  const MutexLock lock(mutex_);
  return damaged_.size();
}

void Quarantine::note_damage(Place place) {
  const MutexLock lock(mutex_);
  damaged_.insert(place);
  gauge_.set(static_cast<double>(damaged_.size()));
}

}  // namespace sluice::recordlog
