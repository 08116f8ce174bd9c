#pragma once
// libcurl's multi interface, driven by the I/O loop.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "egress/fd_watcher.h"

namespace sluice::egress {

// Threads: the loop's.
class CurlLoop {
 public:
  struct Limits {
    long connections_per_host_max = 0;
    long connections_max = 0;
  };
  // Called once for each transfer that ended by itself, outside libcurl's callbacks, with its easy
  // handle (a CURL*) and CURLcode. The handle has left the loop then.
  using Done = std::function<void(void* easy, int code)>;

  CurlLoop(boost::asio::io_context& loop, Limits limits, Done done);
  // No transfer may be left.
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  // Begins the transfer; the loop does not own the handle.
  void add(void* easy);
  // Ends it early and closes its connection. No effect on a transfer that is done. Not from inside
  // libcurl's callbacks.
  void remove(void* easy);

 private:
  void set_timer(long timeout_ms);
  void act(int fd, int events);

  FdWatcher watcher_;
  boost::asio::steady_timer timer_;
  Done done_;
  void* multi_;  // CURLM
  std::shared_ptr<const bool> alive_ =
      std::make_shared<const bool>(true);  // seen by timer handlers
};

}  // namespace sluice::egress
