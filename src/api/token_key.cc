#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "api/token.h"

namespace sluice::api {
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
  return {ErrorCode::Io, fmt::format("token key {}: {}", path, std::strerror(errno))};
}

// Nullopt: there is no such file.
Result<std::optional<TokenKey>> read_key(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 && errno == ENOENT) return std::optional<TokenKey>();
  if (file.get() < 0) return system_error(path);
  std::array<unsigned char, sizeof(TokenKey::bytes) + 1> bytes;
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  TokenKey key;
  if (size != key.bytes.size()) {
    return Error{ErrorCode::Corruption,
                 fmt::format("token key {}: not {} bytes long; restore it, or delete it (all "
                             "tokens end then)",
                             path, key.bytes.size())};
  }
  std::memcpy(key.bytes.data(), bytes.data(), key.bytes.size());
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
  TokenKey key;
  std::uint64_t suffix = 0;
  if (RAND_priv_bytes(key.bytes.data(), static_cast<int>(key.bytes.size())) != 1 ||
      RAND_bytes(reinterpret_cast<unsigned char*>(&suffix), sizeof suffix) != 1) {
    return Error{ErrorCode::Io, "token key: the system gives no random numbers"};
  }
  const std::string draft = fmt::format("{}.{:016x}", path, suffix);
  const Descriptor file(::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return system_error(draft);
  const bool written = ::write(file.get(), key.bytes.data(), key.bytes.size()) ==
                           static_cast<ssize_t>(key.bytes.size()) &&
                       ::fsync(file.get()) == 0;
  const bool linked = written && (::link(draft.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const Result<void> result = linked ? Result<void>() : system_error(path);
  ::unlink(draft.c_str());
  return result ? sync_directory(path) : result;
}

}  // namespace

Result<TokenKey> load_or_create_token_key(const std::string& path) {
  Result<std::optional<TokenKey>> key = read_key(path);
  if (!key) return key.error();
  if (!*key) {
    const Result<void> created = create_key(path);
    if (!created) return created.error();
    key = read_key(path);
    if (!key) return key.error();
  }
  if (!*key) return Error{ErrorCode::Io, fmt::format("token key {}: vanished", path)};
  return **key;
}

}  // namespace sluice::api
