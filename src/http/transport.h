#pragma once
// A connection's bytes, plain or through TLS: one branch a call, concrete types, no virtual call.
// Included by connection.cc alone, as it shows Asio's TLS.

#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <utility>

#include "http/connection.h"
#include "http/tls_context.h"

namespace sluice::http {

class Transport {
 public:
  using executor_type = Executor;

  // `tls` null: plain.
  Transport(Socket socket, const TlsContext* tls) : socket_(std::move(socket)) {
    if (tls != nullptr) tls_ = std::make_unique<Tls>(socket_, tls->new_session());
  }

  bool is_tls() const { return tls_ != nullptr; }
  Socket& socket() { return socket_; }
  executor_type get_executor() { return socket_.get_executor(); }

  template <class Buffers, class Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_read_some(buffers, std::forward<Handler>(handler));
    } else {
      socket_.async_read_some(buffers, std::forward<Handler>(handler));
    }
  }
  template <class Buffers, class Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_write_some(buffers, std::forward<Handler>(handler));
    } else {
      socket_.async_write_some(buffers, std::forward<Handler>(handler));
    }
  }

  // Only where is_tls().
  template <class Handler>
  void async_handshake(Handler&& handler) {
    tls_->async_handshake(boost::asio::ssl::stream_base::server, std::forward<Handler>(handler));
  }
  // Says that nothing more comes, and waits until the client says so or closes.
  template <class Handler>
  void async_shutdown(Handler&& handler) {
    tls_->async_shutdown(std::forward<Handler>(handler));
  }

 private:
  using Tls = boost::asio::ssl::stream<Socket&>;
  Socket socket_;
  std::unique_ptr<Tls> tls_;
};

}  // namespace sluice::http
