#pragma once
// The file operations of the record log and the stream journal: one seam, so that tests can make
// any of them fail, tear a write or cut the power. Errors: Io (message names path and errno),
// ResourceExhausted for ENOSPC and EDQUOT, NotFound for ENOENT.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct iovec;

namespace sluice {

// One open file. Closes on destruction. Threads: read_at() from any; the rest from one at a time.
class File {
 public:
  virtual ~File() = default;
  // Writes everything or fails; after a failure the range's content is unknown.
  virtual Result<void> write_at(std::uint64_t position, std::span<const iovec> buffers) = 0;
  // Returns the bytes read: fewer than asked for only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) const = 0;
  // Data and size are on stable storage on return. After a failure nobody knows what is: never
  // sync or append to this file again.
  virtual Result<void> sync_data() = 0;
  // Reserves blocks and sets the size; the range reads as zeros.
  virtual Result<void> preallocate(std::uint64_t bytes) = 0;
  virtual Result<void> truncate(std::uint64_t bytes) = 0;
  virtual Result<std::uint64_t> size() const = 0;
};

enum class OpenMode : std::uint8_t { Read, ReadWrite, CreateNew };  // CreateNew fails if it exists

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;
  // Makes creations, renames and removals in `directory` durable.
  virtual Result<void> sync_directory(const std::string& directory) = 0;
  // With its parents; existing ones are left alone.
  virtual Result<void> create_directories(const std::string& directory) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  // names, sorted
  virtual Result<bool> exists(const std::string& path) = 0;
};

FileSystem& posix_file_system();

}  // namespace sluice
