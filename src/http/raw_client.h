#pragma once
// For tests: a client that says exactly what it is told to, on a plain blocking socket.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <boost/beast/core/string.hpp>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::http {

struct RawAnswer {
  int status = 0;
  std::string head;  // as received
  std::map<std::string, std::string, boost::beast::iless> headers;
  std::string body;
};

class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer = 0) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    const timeval patience{.tv_sec = 60, .tv_usec = 0};  // a hanging test fails
    const int on = 1;
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (receive_buffer > 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  RawClient(RawClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)),
        connected_(other.connected_),
        received_(std::move(other.received_)) {}
  ~RawClient() { close(); }

  bool connected() const { return connected_; }

  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void reset() {  // RST instead of FIN
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }
  void finish_sending() { ::shutdown(socket_, SHUT_WR); }

  // False: the other side has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  bool send_bytewise(std::string_view bytes) {
    for (const char byte : bytes) {
      if (!send({&byte, 1})) return false;
    }
    return true;
  }

  // Nothing: closed (or reset) before a whole answer came. 100 Continue is an answer too.
  std::optional<RawAnswer> read_answer(bool of_head_request = false) {
    std::size_t end;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!receive()) return std::nullopt;
    }
    RawAnswer answer;
    answer.head = received_.substr(0, end + 2);
    received_.erase(0, end + 4);
    answer.status = std::atoi(answer.head.substr(9, 3).c_str());
    for (std::size_t at = answer.head.find("\r\n") + 2; at < answer.head.size();) {
      const std::size_t line_end = answer.head.find("\r\n", at);
      const std::size_t colon = answer.head.find(": ", at);
      answer.headers[answer.head.substr(at, colon - at)] =
          answer.head.substr(colon + 2, line_end - colon - 2);
      at = line_end + 2;
    }
    const auto length = answer.headers.find("Content-Length");
    if (length == answer.headers.end() || of_head_request) return answer;
    const std::size_t size = std::stoul(length->second);
    while (received_.size() < size) {
      if (!receive()) return std::nullopt;
    }
    answer.body = received_.substr(0, size);
    received_.erase(0, size);
    return answer;
  }

  // The next chunk of a chunked answer; "" is the last one. Nothing: cut off before it was whole.
  std::optional<std::string> read_chunk() {
    std::size_t end;
    while ((end = received_.find("\r\n")) == std::string::npos) {
      if (!receive()) return std::nullopt;
    }
    const std::size_t size = std::stoul(received_.substr(0, end), nullptr, 16);
    while (received_.size() < end + 2 + size + 2) {
      if (!receive()) return std::nullopt;
    }
    std::string chunk = received_.substr(end + 2, size);
    received_.erase(0, end + 2 + size + 2);
    return chunk;
  }

  // All that comes until the connection ends.
  std::string read_to_end() {
    while (receive()) {
    }
    return std::exchange(received_, {});
  }

  std::optional<RawAnswer> ask(std::string_view request) {
    send(request);
    return read_answer();
  }

  // Waits for the end of the connection; true when nothing more came before it.
  bool closed_without_more() {
    if (!received_.empty()) return false;
    return !receive() && !timed_out_;
  }
  bool timed_out() const { return timed_out_; }

 private:
  bool receive() {
    char bytes[16 * 1024];
    const ssize_t got = ::recv(socket_, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EAGAIN) timed_out_ = true;
    if (got <= 0) return false;
    received_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  int socket_ = -1;
  bool connected_ = false;
  bool timed_out_ = false;
  std::string received_;
};

}  // namespace sluice::http
