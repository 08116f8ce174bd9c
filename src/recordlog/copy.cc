#include "recordlog/copy.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "base/units.h"
#include "recordlog/local/index.h"
#include "recordlog/local/partition_files.h"
#include "recordlog/local/recovery.h"

namespace sluice::recordlog {
namespace {

constexpr std::uint64_t kWhole = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t kBlockBytes = 256 * kKiB;

bool is_missing(const Result<void>& done) {
  return !done && done.error().code == ErrorCode::NotFound;
}

// The files of `from` that are there when it is their turn.
Result<void> copy_files(FileSystem& fs, const std::string& from, const std::string& to) {
  const auto names = fs.list(from);
  if (!names) return names.error();
  if (auto made = fs.create_directories(to); !made) return made;
  for (const std::string& name : *names) {
    const auto done =
        copy_file(fs, fmt::format("{}/{}", from, name), fmt::format("{}/{}", to, name), kWhole);
    if (!done && !is_missing(done)) return done;
  }
  return fs.sync_directory(to);
}

// How much of a segment never changes any more: all of it, or up to its last whole group.
Result<std::uint64_t> firm_bytes(FileSystem& fs, const std::string& directory,
                                 std::uint64_t sequence, const std::optional<SyncedMark>& mark) {
  const auto file = fs.open(directory + "/" + segment_name(sequence), OpenMode::Read);
  if (!file) return file.error();
  if (read_index_organisations(**file)) return kWhole;
  const auto next = fs.open(directory + "/" + segment_name(sequence + 1), OpenMode::Read);
  if (!next && next.error().code != ErrorCode::NotFound) return next.error();
  const auto synced = find_synced_end(sequence, next ? next->get() : nullptr, mark);
  if (!synced) return synced.error();
  const auto scanned = scan_segment(**file, *synced);
  if (!scanned) return scanned.error();
  return scanned->frames_end;
}

// Oldest first. One that retention deleted meanwhile takes those before it along: in the copy too
// there are no holes.
Result<void> copy_segments(FileSystem& fs, const std::string& from, const std::string& to,
                           const std::optional<SyncedMark>& mark) {
  const auto names = fs.list(from);
  if (!names) return names.error();
  std::vector<std::string> copied;
  for (const std::string& name : *names) {  // their order is that of their numbers
    const auto sequence = sequence_from_name(name);
    if (!sequence) continue;
    const auto bytes = firm_bytes(fs, from, *sequence, mark);
    Result<void> done;
    if (bytes) {
      done =
          copy_file(fs, fmt::format("{}/{}", from, name), fmt::format("{}/{}", to, name), *bytes);
    } else {
      done = bytes.error();
    }
    if (is_missing(done)) {
      for (const std::string& older : std::exchange(copied, {})) {
        if (auto removed = fs.remove(fmt::format("{}/{}", to, older)); !removed) return removed;
      }
      continue;
    }
    if (!done) return done;
    copied.push_back(name);
  }
  return {};
}

// The mark before the segments, which may have more than it says but never less; the offsets of
// what retention emptied behind them.
Result<void> copy_partition(FileSystem& fs, const std::string& from, const std::string& to) {
  if (auto made = fs.create_directories(to); !made) return made;
  const auto mark = SyncedMarkFile(fs, from).read();
  if (!mark) return mark.error();
  if (auto done = copy_segments(fs, from, to, *mark); !done) return done;
  if (*mark) {
    if (auto done = SyncedMarkFile(fs, to).write(**mark); !done) return done;
  }
  const auto offsets = read_next_offsets(fs, from);
  if (!offsets && offsets.error().code != ErrorCode::Corruption) return offsets.error();
  if (offsets && !offsets->empty()) {
    if (auto done = write_next_offsets(fs, to, *offsets); !done) return done;
  }
  return fs.sync_directory(to);
}

}  // namespace

Result<void> copy_file(FileSystem& fs, const std::string& from, const std::string& to,
                       std::uint64_t bytes_max) {
  const auto source = fs.open(from, OpenMode::Read);
  if (!source) return source.error();
  const auto target = fs.open(to, OpenMode::CreateNew);
  if (!target) return target.error();
  std::vector<char> block(kBlockBytes);
  std::uint64_t at = 0;
  while (at < bytes_max) {
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, bytes_max - at));
    const auto got = (*source)->read_at(at, {block.data(), want});
    if (!got) return got.error();
    if (*got == 0) break;
    const bool zeros =
        std::all_of(block.data(), block.data() + *got, [](char c) { return c == 0; });
    const iovec bytes{block.data(), *got};
    if (!zeros) {
      if (auto done = (*target)->write_at(at, {&bytes, 1}); !done) return done;
    }
    at += *got;
  }
  if (auto done = (*target)->truncate(at); !done) return done;
  return (*target)->sync_data();
}

Result<void> copy_log(FileSystem& fs, const std::string& from, const std::string& to) {
  const auto there = fs.exists(from + "/format");
  if (!there) return there.error();
  if (!*there) return Error{ErrorCode::NotFound, from + " holds no record log"};
  if (auto made = fs.create_directories(to); !made) return made;
  const auto names = fs.list(from);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    const std::string source = fmt::format("{}/{}", from, name);
    const std::string target = fmt::format("{}/{}", to, name);
    Result<void> done;
    if (name == "quarantine") {
      done = copy_files(fs, source, target);
    } else if (name.starts_with('p')) {
      done = copy_partition(fs, source, target);
    } else if (name == "format" || name == "DELETION-SUSPENDED") {
      done = copy_file(fs, source, target, kWhole);
    }
    if (!done && !is_missing(done)) return done;
  }
  return fs.sync_directory(to);
}

}  // namespace sluice::recordlog
