#pragma once
// The small files beside a partition's segments: `synced` and `offsets`, and how they are written.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/flat_map.h"
#include "base/fs.h"
#include "base/result.h"
#include "model/ids.h"

namespace sluice::recordlog {

// Writes `directory/name` anew, so that a crash leaves the old content or the
// new one, and syncs it and the directory.
Result<void> replace_file(FileSystem& fs, const std::string& directory, const std::string& name,
                          std::string_view bytes);
// Creates a file in place of whatever a failed attempt left there.
Result<std::unique_ptr<File>> create_anew(FileSystem& fs, const std::string& path);
// Those of the log at `directory`: p0 and so on.
Result<std::uint32_t> count_partitions(FileSystem& fs, const std::string& directory);
// NotFound if there is none. For files of a few MiB.
Result<std::string> read_file(FileSystem& fs, const std::string& path);

// Up to where a segment is known to be on stable storage. Written late, so it
// may lie behind; what lies below it and cannot be read is damage, what lies
// above may be an unfinished write.
struct SyncedMark {
  std::uint64_t sequence = 0;
  std::uint64_t position = 0;
  friend bool operator==(SyncedMark, SyncedMark) = default;
};

// The file `synced`: two slots written in turn, so that a torn write leaves the
// other. Threads: none.
class SyncedMarkFile {
 public:
  SyncedMarkFile(FileSystem& fs, std::string directory)
      : fs_(fs), directory_(std::move(directory)) {}

  // None if there is no file or no good slot.
  Result<std::optional<SyncedMark>> read();
  // Durable on return.
  Result<void> write(SyncedMark mark);

 private:
  Result<void> open_for_writing();

  FileSystem& fs_;
  const std::string directory_;
  std::unique_ptr<File> file_;
  std::uint64_t written_ = 0;  // how often: the slot with the greater number is the newer one
};

using NextOffsets = FlatMap<OrganisationId, Offset>;

// The file `offsets`: the next offset of organisations that have no record left
// in any segment. Corruption: it is damaged.
Result<NextOffsets> read_next_offsets(FileSystem& fs, const std::string& directory);
Result<void> write_next_offsets(FileSystem& fs, const std::string& directory,
                                const NextOffsets& offsets);

}  // namespace sluice::recordlog
