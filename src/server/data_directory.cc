#include "server/data_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/rand.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/fs.h"

namespace sluice::server {
namespace {

Result<std::string> read_installation(const std::string& path) {
  auto file = posix_file_system().open(path, OpenMode::Read);
  if (!file) return file.error();
  std::array<char, 32> text;
  const auto got = (*file)->read_at(0, text);
  if (!got) return got.error();
  if (*got != text.size()) {
    return Error{ErrorCode::Corruption,
                 fmt::format("{} is damaged: it must hold 32 hexadecimal digits", path)};
  }
  return std::string(text.data(), text.size());
}

// Written whole under another name first: a crash leaves no half of it.
Result<std::string> make_installation(const std::string& directory, const std::string& path) {
  std::array<unsigned char, 16> random;
  SLUICE_ASSERT(RAND_bytes(random.data(), random.size()) == 1);
  std::string text;
  for (const unsigned char byte : random) text += fmt::format("{:02x}", byte);

  FileSystem& fs = posix_file_system();
  const std::string fresh = path + ".new";
  if (auto gone = fs.remove(fresh); !gone && gone.error().code != ErrorCode::NotFound) {
    return gone.error();
  }
  auto file = fs.open(fresh, OpenMode::CreateNew);
  if (!file) return file.error();
  const iovec bytes{text.data(), text.size()};
  if (auto done = (*file)->write_at(0, {&bytes, 1}); !done) return done.error();
  if (auto done = (*file)->sync_data(); !done) return done.error();
  if (auto done = fs.rename(fresh, path); !done) return done.error();
  if (auto done = fs.sync_directory(directory); !done) return done.error();
  return text;
}

}  // namespace

std::string secrets_key_path(const Settings& settings) {
  if (!settings.secrets_key_file.empty()) return settings.secrets_key_file;
  std::string name = settings.data_dir;
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  return name + ".secrets.key";
}

Result<void> make_data_directory(const std::string& path) {
  if (auto made = posix_file_system().create_directories(path); !made) return made;
  if (::chmod(path.c_str(), 0700) != 0) {
    return Error{ErrorCode::Io, fmt::format("cannot protect the data directory {}: {}", path,
                                            std::strerror(errno))};
  }
  return {};
}

Result<std::unique_ptr<DataDirectory>> DataDirectory::open(const std::string& path) {
  if (auto made = make_data_directory(path); !made) return made.error();
  const std::string lock_path = path + "/LOCK";
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) {
    return Error{ErrorCode::Io, fmt::format("cannot open {}: {}", lock_path, std::strerror(errno))};
  }
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock);
    return Error{ErrorCode::Conflict,
                 fmt::format("the data directory {} is in use by another sluice: stop that one or "
                             "name another directory with --data-dir",
                             path)};
  }
  const std::string installation_path = path + "/installation";
  auto installation = read_installation(installation_path);
  if (!installation && installation.error().code == ErrorCode::NotFound) {
    installation = make_installation(path, installation_path);
  }
  if (!installation) {
    ::close(lock);
    return installation.error();
  }
  return std::unique_ptr<DataDirectory>(new DataDirectory(lock, std::move(*installation)));
}

DataDirectory::~DataDirectory() { ::close(lock_); }

}  // namespace sluice::server
