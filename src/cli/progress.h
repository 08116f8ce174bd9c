#pragma once
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

namespace sluice::cli {

// One line on standard error that is written over, on a terminal alone.
class Progress {
 public:
  Progress() : enabled_(::isatty(STDERR_FILENO) == 1) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // True when a new line would be seen: ask before putting it together.
  bool due() {
    if (!enabled_) return false;
    const auto now = std::chrono::steady_clock::now();
    if (shown_ && now - last_ < std::chrono::milliseconds(100)) return false;
    last_ = now;
    return true;
  }
  void show(const std::string& line) {
    std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
    shown_ = true;
  }
  // Before anything else is written.
  void clear() {
    if (shown_) std::fputs("\r\x1b[K", stderr);
    shown_ = false;
  }

 private:
  const bool enabled_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace sluice::cli
