#pragma once
// One connection to a destination: a socket that never blocks, with TLS over it or without.

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/awaitable.h"
#include "egress/attempt.h"
#include "egress/gather.h"
#include "egress/tls.h"

namespace sluice::egress {

using Socket =
    boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

// Threads: the loop's. Destroying it closes it.
class Connection {
 public:
  enum class Step : std::uint8_t {
    Done,    // some bytes moved; of a handshake: finished
    NotNow,  // wait() first
    End,     // the peer has ended its side in order
    Broken,  // fault() says why
  };
  struct Received {
    Step step;
    std::size_t bytes = 0;
  };

  // `peer` names the other end in messages.
  Connection(Socket socket, std::string peer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const std::string& peer() const { return peer_; }
  const std::string& fault() const { return fault_; }

  // From here on everything goes through TLS; a second call puts it inside the first (a proxy's).
  // False: no certificate authorities can be read. `http` as TlsContext wants it.
  bool begin_tls(TlsContext& context, const std::string& host, bool http = true);
  Step shake_hands();
  std::string tls_failure(std::string_view host) const;  // after Broken or End

  Step send(Gather& from);  // advances it
  // As if the last send() had said NotNow, so that wait() lets others run.
  void pause_sending() { wants_write_ = true; }
  Received receive(std::span<char> into);
  // Acknowledges what has arrived now, not a moment later as the kernel would. A server that writes
  // its answer in pieces, with Nagle's algorithm on, has the rest wait for that.
  void acknowledge();
  // Whether something may have arrived since receive() last said NotNow.
  bool readable() const;
  // No end and no stray bytes have arrived: fit for another request.
  bool quiet();

  // Gives the socket away, to whom it is to be closed by; never blocks it. Nothing but destroying
  // this is to be done from then on. Nullopt, and nothing is changed: TLS goes over it.
  std::optional<int> release();

  // Waits until what was NotNow may go on, something may have arrived, or the attempt's time is up.
  // False: cancelled, the caller must not wait again. `attempt` outlives it.
  Awaitable<bool> wait(Attempt& attempt);

 private:
  enum Side : std::uint8_t { kRead, kWrite };
  struct Readiness;

  Step send_plain(Gather& from);
  Step send_tls(Gather& from);
  Step tls_step(int result);  // of an operation that moved nothing
  Step broken(int error_number);
  void arm(Side side);

  Socket socket_;
  const std::string peer_;
  Ssl tls_;
  std::string fault_;
  std::shared_ptr<Readiness> readiness_;  // shared with the waits under way
  bool wants_write_ = false;
  bool shaken_ = false;
};

}  // namespace sluice::egress
