#pragma once
#include <csignal>
#include <ctime>

namespace sluice::cli {

// Blocks SIGTERM, SIGINT and SIGHUP (the terminal has gone; to a server: read the certificate
// again) for this thread and those it makes, so that wait() alone sees them.
// Make it before the first thread.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
  }

  // Blocks until one of them comes; returns it.
  int wait() {
    int signal = 0;
    while (sigwait(&set_, &signal) != 0) {
    }
    return signal;
  }

  // True when one came within `milliseconds`.
  bool wait_for(long milliseconds) {
    const timespec time{milliseconds / 1000, (milliseconds % 1000) * 1'000'000};
    return sigtimedwait(&set_, nullptr, &time) > 0;
  }

 private:
  sigset_t set_;
};

}  // namespace sluice::cli
