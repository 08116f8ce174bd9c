#pragma once
// A connection to a destination that speaks something else than HTTP.

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/awaitable.h"
#include "base/clock.h"
#include "base/result.h"
#include "egress/connection_pool.h"

namespace sluice::egress {

using LocalSocket = boost::asio::local::stream_protocol::socket;

// HttpClient::connect() makes it. Threads: the loop's. One coroutine at a time. Destroying it
// closes the connection. Errors: Timeout, Unavailable (the connection is broken), Cancelled; after
// one it is of no use any more.
class ByteStream {
 public:
  ByteStream(boost::asio::io_context& loop, const Clock& clock, ConnectionPool::Place place);
  ~ByteStream();

  const std::string& peer() const;

  // Sends all of it. What arrives meanwhile is kept for receive().
  Awaitable<Result<void>> send(std::string_view bytes, SteadyTime deadline);
  // Waits for bytes; "": the peer has ended.
  Awaitable<Result<std::string>> receive(SteadyTime deadline);
  // What has arrived by now, without waiting; "": nothing, or an end.
  std::string received();

  bool ended() const { return ended_ || broken_; }  // as far as is known

  // Gives a library the connection itself: it closes the descriptor, which never blocks, and this
  // merely counts as a connection until it is destroyed. To be called before anything else.
  // Nullopt: TLS goes over it, so relay().
  std::optional<int> release();
  // Passes bytes between the connection and `local`, whose other end a library has, until one of
  // both ends. An error is the connection's.
  Awaitable<Result<void>> relay(LocalSocket local);

 private:
  class Relay;

  Error broken() const;
  void drain();

  boost::asio::io_context& loop_;
  const Clock& clock_;
  ConnectionPool::Place place_;
  std::string arrived_;
  bool ended_ = false;
  bool broken_ = false;
};

}  // namespace sluice::egress
