#include "egress/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/units.h"

namespace sluice::egress {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kPartsMax = 64;                  // of one system call
constexpr std::size_t kTlsRecordBytesMax = 16 * kKiB;  // RFC 8446, 5.1

bool is_wait(int error_number) { return error_number == EAGAIN || error_number == EWOULDBLOCK; }

}  // namespace

// A wait may end after the connection is gone.
struct Connection::Readiness {
  asio::steady_timer* wake = nullptr;  // of the coroutine that waits
  bool ready[2] = {false, false};      // by Side
  bool waiting[2] = {false, false};
};

Connection::Connection(Socket socket, std::string peer)
    : socket_(std::move(socket)),
      peer_(std::move(peer)),
      readiness_(std::make_shared<Readiness>()) {}

Connection::~Connection() {
  readiness_->wake = nullptr;
  if (shaken_ && fault_.empty()) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());  // says goodbye, waits for nothing
  }
}

bool Connection::begin_tls(TlsContext& context, const std::string& host, bool http) {
  tls_ = tls_ == nullptr ? context.over_socket(socket_.native_handle(), host, http)
                         : context.over_tls(std::move(tls_), host, http);
  shaken_ = false;
  return tls_ != nullptr;
}

std::optional<int> Connection::release() {
  if (tls_ != nullptr) return std::nullopt;
  boost::system::error_code failed;
  socket_.native_non_blocking(true, failed);
  const int descriptor = failed ? -1 : socket_.release(failed);
  if (failed) return std::nullopt;
  return descriptor;
}

Connection::Step Connection::broken(int error_number) {
  fault_ = std::generic_category().message(error_number);
  return Step::Broken;
}

Connection::Step Connection::tls_step(int result) {
  const int error_number = errno;
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ: readiness_->ready[kRead] = false; return Step::NotNow;
    case SSL_ERROR_WANT_WRITE: wants_write_ = true; return Step::NotNow;
    case SSL_ERROR_ZERO_RETURN: return Step::End;
    default: break;
  }
  const unsigned long error = ERR_peek_last_error();
  if (const char* reason = ERR_reason_error_string(error); reason != nullptr) {
    fault_ = reason;
    return Step::Broken;
  }
  return broken(error_number == 0 ? ECONNRESET : error_number);
}

Connection::Step Connection::shake_hands() {
  ERR_clear_error();
  wants_write_ = false;
  errno = 0;
  const int result = SSL_do_handshake(tls_.get());
  shaken_ = result == 1;
  return shaken_ ? Step::Done : tls_step(result);
}

std::string Connection::tls_failure(std::string_view host) const {
  return egress::tls_failure(tls_.get(), host, peer_, fault_.empty() ? "hung up" : fault_);
}

Connection::Step Connection::send(Gather& from) {
  wants_write_ = false;
  return tls_ == nullptr ? send_plain(from) : send_tls(from);
}

Connection::Step Connection::send_plain(Gather& from) {
  std::array<iovec, kPartsMax> parts;
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = from.fill(parts);
  const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno == EINTR) return Step::Done;
    if (!is_wait(errno)) return broken(errno);
    wants_write_ = true;
    return Step::NotNow;
  }
  from.advance(static_cast<std::size_t>(sent));
  return Step::Done;
}

// One record. OpenSSL wants the same bytes again after it could not write them, which piece()
// gives as long as nothing was advanced.
Connection::Step Connection::send_tls(Gather& from) {
  std::array<char, kTlsRecordBytesMax> room;
  const std::string_view piece = from.piece(room);
  ERR_clear_error();
  errno = 0;
  const int sent = SSL_write(tls_.get(), piece.data(), static_cast<int>(piece.size()));
  if (sent <= 0) return tls_step(sent);
  from.advance(static_cast<std::size_t>(sent));
  return Step::Done;
}

Connection::Received Connection::receive(std::span<char> into) {
  if (tls_ != nullptr) {
    ERR_clear_error();
    errno = 0;
    const int got = SSL_read(tls_.get(), into.data(), static_cast<int>(into.size()));
    if (got > 0) return {Step::Done, static_cast<std::size_t>(got)};
    return {tls_step(got)};
  }
  const ssize_t got = ::recv(socket_.native_handle(), into.data(), into.size(), 0);
  if (got > 0) return {Step::Done, static_cast<std::size_t>(got)};
  if (got == 0) return {Step::End};
  if (errno == EINTR) return {Step::Done};
  if (!is_wait(errno)) return {broken(errno)};
  readiness_->ready[kRead] = false;
  return {Step::NotNow};
}

void Connection::acknowledge() {
  const int now = 1;
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now);
}

bool Connection::readable() const { return readiness_->ready[kRead]; }

bool Connection::quiet() {
  readiness_->ready[kRead] = false;
  char byte = 0;
  if (tls_ == nullptr) {
    return ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK) < 0 && is_wait(errno);
  }
  ERR_clear_error();
  errno = 0;
  const int got = SSL_peek(tls_.get(), &byte, 1);
  return got <= 0 && tls_step(got) == Step::NotNow;
}

void Connection::arm(Side side) {
  if (readiness_->ready[side] || readiness_->waiting[side]) return;
  readiness_->waiting[side] = true;
  socket_.async_wait(side == kRead ? Socket::wait_read : Socket::wait_write,
                     [side, readiness = readiness_](boost::system::error_code ec) {
                       readiness->waiting[side] = false;
                       if (ec) return;
                       readiness->ready[side] = true;
                       if (readiness->wake != nullptr) readiness->wake->cancel();
                     });
}

Awaitable<bool> Connection::wait(Attempt& attempt) {
  // The frame may go away while it waits.
  struct Waking {
    std::shared_ptr<Readiness> readiness;
    ~Waking() { readiness->wake = nullptr; }
  };
  readiness_->ready[kWrite] = false;
  arm(kRead);
  // Once: the next send() or receive() says whether it still does.
  if (std::exchange(wants_write_, false)) arm(kWrite);
  const Waking waking{readiness_};
  readiness_->wake = &attempt.wake();
  co_return co_await attempt.wait();
}

}  // namespace sluice::egress
