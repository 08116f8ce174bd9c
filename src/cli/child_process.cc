#include "cli/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <utility>

extern char** environ;

namespace sluice::cli {

Result<ChildProcess> ChildProcess::start(const std::vector<std::string>& arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Error{ErrorCode::Io, fmt::format("cannot make a pipe: {}", std::strerror(errno))};
  }
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), "sluice");
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  pid_t pid = -1;
  const int fault =
      ::posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (fault != 0) {
    ::close(ends[0]);
    return Error{ErrorCode::Io, fmt::format("cannot start sluice {}: {}", arguments.front(),
                                            std::strerror(fault))};
  }
  return ChildProcess(pid, ends[0]);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), output_(std::exchange(other.output_, -1)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(output_, other.output_);
  return *this;
}

ChildProcess::~ChildProcess() { stop(); }

std::string ChildProcess::read_line() {
  std::string line;
  char byte = 0;
  while (::read(output_, &byte, 1) == 1 && byte != '\n') line += byte;
  return line;
}

std::string ChildProcess::read_available() {
  std::string text;
  std::array<char, 65536> buffer;
  pollfd ready{output_, POLLIN, 0};
  while (::poll(&ready, 1, 0) == 1) {
    const ssize_t got = ::read(output_, buffer.data(), buffer.size());
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

std::string ChildProcess::stop() {
  if (pid_ < 0) return "";
  ::kill(pid_, SIGTERM);
  std::string rest;
  for (std::array<char, 65536> buffer;;) {  // until it closes its end, so that it cannot block
    const ssize_t got = ::read(output_, buffer.data(), buffer.size());
    if (got <= 0) break;
    rest.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::waitpid(pid_, nullptr, 0);
  ::close(output_);
  pid_ = -1;
  output_ = -1;
  return rest;
}

}  // namespace sluice::cli
