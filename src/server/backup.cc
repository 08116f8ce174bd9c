#include "server/backup.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/units.h"
#include "catalog/copy.h"
#include "recordlog/copy.h"
#include "server/data_directory.h"

namespace sluice::server {
namespace {

namespace stdfs = std::filesystem;
using nlohmann::json;

// Written last: what each file held.
constexpr const char* kManifest = "BACKUP";
constexpr int kFormat = 1;
constexpr std::uint64_t kWhole = std::numeric_limits<std::uint64_t>::max();
constexpr int kJournalTries = 100;

FileSystem& disk() { return posix_file_system(); }

Result<void> make_empty(const std::string& path) {
  std::error_code fault;
  if (stdfs::exists(path, fault) &&
      !(stdfs::is_directory(path, fault) && stdfs::is_empty(path, fault))) {
    return Error{
        ErrorCode::Conflict,
        fmt::format("{} is there already, and not an empty directory: name another", path)};
  }
  return make_data_directory(path);
}

// A compaction may remove what was listed; what then lies there holds the same and more.
Result<void> copy_journal(const std::string& from, const std::string& to) {
  for (int left = kJournalTries;; --left) {
    stdfs::remove_all(to);
    if (auto made = disk().create_directories(to); !made) return made;
    const auto names = disk().list(from);
    if (!names) return names.error();
    Result<void> done;
    for (const std::string& name : *names) {
      if (!name.ends_with(".log")) continue;
      done = recordlog::copy_file(disk(), fmt::format("{}/{}", from, name),
                                  fmt::format("{}/{}", to, name), kWhole);
      if (!done) break;
    }
    if (done) return disk().sync_directory(to);
    if (done.error().code != ErrorCode::NotFound || left == 0) return done;
  }
}

// The journal first and the log last: cursors never lie ahead of it. The dead letters follow the
// journal, since of the two the one that is further counts.
Result<void> copy_parts(const std::string& from, const std::string& to) {
  if (auto done = copy_journal(journal_directory(from), journal_directory(to)); !done) return done;
  const std::array databases = {
      std::pair(dead_letters_path(from), dead_letters_path(to)),
      std::pair(catalog_path(from), catalog_path(to)),
      std::pair(quarantine_path(from), quarantine_path(to)),
      std::pair(attempts_path(from), attempts_path(to)),
  };
  for (const auto& [source, target] : databases) {
    const auto done = catalog::copy_database(source, target);
    if (!done && done.error().code != ErrorCode::NotFound) return done;
  }
  for (const char* name : {"/installation", "/token.key"}) {
    const auto done = recordlog::copy_file(disk(), from + name, to + name, kWhole);
    if (!done && done.error().code != ErrorCode::NotFound) return done;
  }
  return recordlog::copy_log(disk(), log_directory(from), log_directory(to));
}

Result<std::string> checksum_of(const std::string& path) {
  const auto file = disk().open(path, OpenMode::Read);
  if (!file) return file.error();
  XXH3_state_t* const state = XXH3_createState();
  XXH3_64bits_reset(state);
  std::vector<char> block(1 * kMiB);
  Result<void> read;
  for (std::uint64_t at = 0;;) {
    const auto got = (*file)->read_at(at, block);
    if (!got) read = got.error();
    if (!got || *got == 0) break;
    XXH3_64bits_update(state, block.data(), *got);
    at += *got;
  }
  const std::uint64_t sum = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  if (!read) return read.error();
  return fmt::format("{:016x}", sum);
}

// Name within the directory -> size and checksum.
Result<json> contents_of(const std::string& directory) {
  json files = json::object();
  for (const auto& each : stdfs::recursive_directory_iterator(directory)) {
    if (!each.is_regular_file()) continue;
    const auto sum = checksum_of(each.path());
    if (!sum) return sum.error();
    files[stdfs::relative(each.path(), directory)] = {{"bytes", each.file_size()}, {"xxh3", *sum}};
  }
  return files;
}

BackupSummary summary_of(const json& files) {
  BackupSummary summary{files.size(), 0};
  for (const auto& [name, file] : files.items())
    summary.bytes += file.at("bytes").get<std::uint64_t>();
  return summary;
}

Result<void> write_file(const std::string& path, const std::string& text) {
  const auto file = disk().open(path, OpenMode::CreateNew);
  if (!file) return file.error();
  const iovec bytes{const_cast<char*>(text.data()), text.size()};
  if (auto done = (*file)->write_at(0, {&bytes, 1}); !done) return done;
  return (*file)->sync_data();
}

Result<json> read_manifest(const std::string& directory) {
  const Error none{ErrorCode::NotFound,
                   fmt::format("{} is no backup, or one that was cut short: it has no readable "
                               "file {}",
                               directory, kManifest)};
  const auto file = disk().open(directory + "/" + kManifest, OpenMode::Read);
  if (!file) return none;
  const auto size = (*file)->size();
  if (!size) return size.error();
  std::string text(*size, '\0');
  const auto got = (*file)->read_at(0, text);
  if (!got) return got.error();
  const json manifest = json::parse(text, nullptr, false);
  if (!manifest.is_object() || !manifest.contains("files")) return none;
  if (manifest.value("format", 0) == kFormat) return manifest.at("files");
  return Error{ErrorCode::Corruption,
               fmt::format("{} was made by a newer Sluice: restore it with that one", directory)};
}

Result<void> copy_checked(const std::string& from, const std::string& to, const json& files) {
  for (const auto& [name, file] : files.items()) {
    const stdfs::path target = stdfs::path(to) / name;
    if (auto made = disk().create_directories(target.parent_path()); !made) return made;
    const auto done =
        recordlog::copy_file(disk(), fmt::format("{}/{}", from, name), target, kWhole);
    if (!done) return done;
    const auto sum = checksum_of(target);
    if (!sum) return sum.error();
    if (*sum == file.at("xxh3").get<std::string>()) continue;
    return Error{ErrorCode::Corruption,
                 fmt::format("{}/{} is damaged: it is not what was backed up", from, name)};
  }
  for (const auto& each : stdfs::recursive_directory_iterator(to)) {
    if (!each.is_directory()) continue;
    if (auto done = disk().sync_directory(each.path()); !done) return done;
  }
  return disk().sync_directory(to);
}

Result<void> fill(const std::string& from, const std::string& to, const json& files, WallTime now) {
  if (auto made = make_data_directory(to); !made) return made;
  if (auto done = copy_checked(from, to, files); !done) return done;
  return catalog::renew_batch_ids(catalog_path(to), static_cast<std::uint32_t>(now.ms / 1000));
}

// What only the disk can refuse is an exception in std::filesystem.
template <class Function>
auto without_exceptions(Function function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::exception& fault) {
    return Error{ErrorCode::Io, fault.what()};
  }
}

}  // namespace

Result<BackupSummary> back_up(const std::string& data_dir, const std::string& to) {
  return without_exceptions([&]() -> Result<BackupSummary> {
    if (!stdfs::exists(catalog_path(data_dir))) {
      return Error{ErrorCode::NotFound,
                   fmt::format("there is no {}: name the data directory with --data-dir",
                               catalog_path(data_dir))};
    }
    if (auto made = make_empty(to); !made) return made.error();
    if (auto done = copy_parts(data_dir, to); !done) return done.error();
    const auto files = contents_of(to);
    if (!files) return files.error();
    const json manifest = {{"format", kFormat}, {"version", SLUICE_VERSION}, {"files", *files}};
    if (auto done = write_file(to + "/" + kManifest, manifest.dump(1) + "\n"); !done) {
      return done.error();
    }
    if (auto done = disk().sync_directory(to); !done) return done.error();
    return summary_of(*files);
  });
}

Result<BackupSummary> restore(const std::string& from, const std::string& data_dir, WallTime now) {
  return without_exceptions([&]() -> Result<BackupSummary> {
    const auto files = read_manifest(from);
    if (!files) return files.error();
    if (auto made = make_empty(data_dir); !made) return made.error();
    std::string target = data_dir;
    while (target.size() > 1 && target.ends_with('/')) target.pop_back();
    const std::string half = target + ".restoring";
    stdfs::remove_all(half);
    if (auto done = fill(from, half, *files, now); !done) {
      stdfs::remove_all(half);
      return done.error();
    }
    stdfs::remove(target);
    if (auto done = disk().rename(half, target); !done) return done.error();
    const std::string parent = stdfs::absolute(target).parent_path();
    if (auto done = disk().sync_directory(parent); !done) return done.error();
    return summary_of(*files);
  });
}

}  // namespace sluice::server
