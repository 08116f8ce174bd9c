#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::cli {

// This very program, run once more with other arguments; its standard output comes through a pipe.
// Threads: none.
class ChildProcess {
 public:
  static Result<ChildProcess> start(const std::vector<std::string>& arguments);
  ~ChildProcess();  // stop()
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;

  // The next line of its output without the line break. Blocks; empty at the end.
  std::string read_line();
  // What it has written since the last call; does not block.
  std::string read_available();
  // SIGTERM, then waits; returns the rest of its output. Does nothing the second time.
  std::string stop();

 private:
  ChildProcess(pid_t pid, int output) : pid_(pid), output_(output) {}
  pid_t pid_ = -1;
  int output_ = -1;
};

}  // namespace sluice::cli
