#include "base/key_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

namespace sluice {
namespace {

// Closes on destruction.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  const int descriptor_;
};

Error system_error(const std::string& path) {
  return {ErrorCode::Io, fmt::format("{}: {}", path, std::strerror(errno))};
}

// Nullopt: there is no such file.
Result<std::optional<KeyBytes>> read_key_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 && errno == ENOENT) return std::optional<KeyBytes>();
  if (file.get() < 0) return system_error(path);
  std::array<unsigned char, sizeof(KeyBytes) + 1> bytes;
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  KeyBytes key;
  if (size != key.size()) {
    return Error{ErrorCode::Corruption, fmt::format("{}: not {} bytes long", path, key.size())};
  }
  std::memcpy(key.data(), bytes.data(), key.size());
  return std::optional(key);
}

Result<void> sync_directory(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const Descriptor directory(
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) return system_error(path);
  return {};
}

// Leaves a file at `path` that is whole: written beside it, then linked, which fails where another
// process was faster.
Result<void> create_key(const std::string& path) {
  KeyBytes key;
  std::uint64_t suffix = 0;
  if (RAND_priv_bytes(key.data(), static_cast<int>(key.size())) != 1 ||
      RAND_bytes(reinterpret_cast<unsigned char*>(&suffix), sizeof suffix) != 1) {
    return Error{ErrorCode::Io, "the system gives no random numbers"};
  }
  const std::string draft = fmt::format("{}.{:016x}", path, suffix);
  const Descriptor file(::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return system_error(draft);
  const bool written =
      ::write(file.get(), key.data(), key.size()) == static_cast<ssize_t>(key.size()) &&
      ::fsync(file.get()) == 0;
  const bool linked = written && (::link(draft.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const Result<void> result = linked ? Result<void>() : system_error(path);
  ::unlink(draft.c_str());
  return result ? sync_directory(path) : result;
}

Result<KeyBytes> load_or_create(const std::string& path) {
  Result<std::optional<KeyBytes>> key = read_key_file(path);
  if (!key) return key.error();
  if (!*key) {
    const Result<void> created = create_key(path);
    if (!created) return created.error();
    key = read_key_file(path);
    if (!key) return key.error();
  }
  if (!*key) return Error{ErrorCode::Io, fmt::format("{}: vanished", path)};
  return **key;
}

}  // namespace

Result<KeyBytes> load_or_create_key(const std::string& path, std::string_view what,
                                    std::string_view loss) {
  Result<KeyBytes> key = load_or_create(path);
  if (key) return key;
  const bool damaged = key.error().code == ErrorCode::Corruption;
  return Error{key.error().code,
               fmt::format("{} {}{}", what, key.error().message,
                           damaged ? fmt::format("; restore it, or delete it ({})", loss) : "")};
}

Result<std::optional<KeyBytes>> read_key(const std::string& path, std::string_view what) {
  Result<std::optional<KeyBytes>> key = read_key_file(path);
  if (key) return key;
  return Error{key.error().code, fmt::format("{} {}", what, key.error().message)};
}

}  // namespace sluice
