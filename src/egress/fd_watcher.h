#pragma once
// Watches descriptors that a library (libcurl, c-ares) opens and closes, in the I/O loop.

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <unordered_map>

namespace sluice::egress {

// Threads: the loop's.
class FdWatcher {
 public:
  // Called from the loop, never from inside watch(). It may call watch().
  using Ready = std::function<void(int fd, bool readable, bool writable)>;

  FdWatcher(boost::asio::io_context& loop, Ready ready);
  ~FdWatcher();
  FdWatcher(const FdWatcher&) = delete;
  FdWatcher& operator=(const FdWatcher&) = delete;

  // Replaces what was wanted of `fd`. Wanting neither forgets it, which must come before its
  // owner closes it. Level-triggered: tells again as long as it is so.
  void watch(int fd, bool readable, bool writable);

 private:
  struct Watch;
  enum class Side : std::uint8_t { Read, Write };
  void forget(int fd);
  static void arm(const std::shared_ptr<Watch>& watch, Side side);

  boost::asio::io_context& loop_;
  Ready ready_;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
};

}  // namespace sluice::egress
