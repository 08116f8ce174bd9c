#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/fs.h"

namespace sluice {
namespace {

Error errno_error(std::string_view what, const std::string& path) {
  const int number = errno;
  const ErrorCode code = number == ENOSPC || number == EDQUOT ? ErrorCode::ResourceExhausted
                         : number == ENOENT                   ? ErrorCode::NotFound
                                                              : ErrorCode::Io;
  return {code, fmt::format("{} {}: {}", what, path, std::strerror(number))};
}

class PosixFile final : public File {
 public:
  PosixFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  ~PosixFile() override { ::close(descriptor_); }

  Result<void> write_at(std::uint64_t position, std::span<const iovec> buffers) override {
    std::vector<iovec> left(buffers.begin(), buffers.end());
    std::size_t at = 0;
    while (at < left.size()) {
      const int count = static_cast<int>(std::min<std::size_t>(left.size() - at, IOV_MAX));
      ssize_t wrote = ::pwritev(descriptor_, &left[at], count, static_cast<off_t>(position));
      if (wrote < 0) {
        if (errno == EINTR) continue;
        return errno_error("cannot write", path_);
      }
      position += static_cast<std::uint64_t>(wrote);
      while (at < left.size() && static_cast<std::size_t>(wrote) >= left[at].iov_len) {
        wrote -= static_cast<ssize_t>(left[at++].iov_len);
      }
      if (at < left.size()) {
        left[at].iov_base = static_cast<char*>(left[at].iov_base) + wrote;
        left[at].iov_len -= static_cast<std::size_t>(wrote);
      }
    }
    return {};
  }

  Result<std::size_t> read_at(std::uint64_t position, std::span<char> into) const override {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t got = ::pread(descriptor_, into.data() + done, into.size() - done,
                                  static_cast<off_t>(position + done));
      if (got == 0) break;
      if (got < 0) {
        if (errno == EINTR) continue;
        return errno_error("cannot read", path_);
      }
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<void> sync_data() override {
    if (::fdatasync(descriptor_) != 0) return errno_error("cannot sync", path_);
    return {};
  }

  Result<void> preallocate(std::uint64_t bytes) override {
    const int number = ::posix_fallocate(descriptor_, 0, static_cast<off_t>(bytes));
    if (number == 0) return {};
    errno = number;
    return errno_error("cannot reserve space for", path_);
  }

  Result<void> truncate(std::uint64_t bytes) override {
    if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) {
      return errno_error("cannot truncate", path_);
    }
    return {};
  }

  Result<std::uint64_t> size() const override {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) return errno_error("cannot stat", path_);
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  int descriptor_;
  std::string path_;
};

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    const int flags = O_CLOEXEC | (mode == OpenMode::Read        ? O_RDONLY
                                   : mode == OpenMode::ReadWrite ? O_RDWR
                                                                 : O_RDWR | O_CREAT | O_EXCL);
    const int descriptor = ::open(path.c_str(), flags, 0600);
    if (descriptor < 0) return errno_error("cannot open", path);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(descriptor, path));
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return errno_error("cannot rename", from);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return errno_error("cannot remove", path);
    return {};
  }

  Result<void> sync_directory(const std::string& directory) override {
    const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return errno_error("cannot open directory", directory);
    const int result = ::fsync(descriptor);
    const int number = errno;
    ::close(descriptor);
    errno = number;
    if (result != 0) return errno_error("cannot sync directory", directory);
    return {};
  }

  Result<void> create_directories(const std::string& directory) override {
    std::error_code code;
    std::filesystem::create_directories(directory, code);
    if (code) {
      errno = code.value();
      return errno_error("cannot create directory", directory);
    }
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    DIR* handle = ::opendir(directory.c_str());
    if (handle == nullptr) return errno_error("cannot list", directory);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(handle)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(handle);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<bool> exists(const std::string& path) override {
    if (::access(path.c_str(), F_OK) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return errno_error("cannot look at", path);
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem instance;
  return instance;
}

}  // namespace sluice
