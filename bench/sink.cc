// bench_sink: takes deliveries, throws the bodies away, counts records. A body is discarded in the
// kernel (MSG_TRUNC), so that the receiver takes as little as can be of the cores it shares.

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include <fmt/core.h>

#include "wire.h"

namespace sluice::bench {
namespace {

constexpr std::uint64_t kHeadBytesMax = 16 << 10;

struct Options {
  std::string listen = "127.0.0.1:0";
  double delay_ms = 0;
  int status = 200;
  std::string tls_cert;  // PEM files; "" = plain
  std::string tls_key;
  std::string log;  // "" = none
};

struct Totals {
  std::uint64_t requests = 0;
  std::uint64_t uncounted_requests = 0;  // neither header named a number of records
  std::uint64_t records = 0;
  std::uint64_t body_bytes = 0;
  double first_s = 0;  // monotonic time of the first and the last answered delivery with records
  double last_s = 0;
};

struct CloseTls {
  void operator()(SSL* tls) const { SSL_free(tls); }
};

struct Connection {
  int fd = -1;
  std::unique_ptr<SSL, CloseTls> tls;  // null: plain
  std::string received;                // up to the end of a head
  std::uint64_t records = 0;
  std::uint64_t body_bytes = 0;
  std::uint64_t body_left = 0;
  bool in_body = false;
  std::string log_line;  // "PATH OFFSETS "
};

// What a delivery holds: X-Records (bench_floor), else the width of X-Sluice-Offsets.
std::uint64_t records_of(const Head& head) {
  if (const std::string_view records = head.header("x-records"); !records.empty()) {
    return parse_number(records);
  }
  const std::string_view offsets = head.header("x-sluice-offsets");
  const std::size_t dash = offsets.find('-');
  if (dash == std::string_view::npos) return 0;
  return parse_number(offsets.substr(dash + 1)) - parse_number(offsets) + 1;
}

// For the life of the process.
SSL_CTX* tls_context(const Options& options) {
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(context, options.tls_cert.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, options.tls_key.c_str(), SSL_FILETYPE_PEM) != 1) {
    die("no TLS certificate and key in " + options.tls_cert + " and " + options.tls_key);
  }
  return context;
}

std::string log_line_of(const Head& head) {
  const std::string_view line = head.first_line;
  const std::string_view path = line.substr(line.find(' ') + 1);
  return fmt::format("{} {} ", path.substr(0, path.find(' ')), head.header("x-sluice-offsets"));
}

class Sink {
 public:
  explicit Sink(Options options) : options_(std::move(options)) {
    if (!options_.tls_cert.empty()) tls_ = tls_context(options_);
    if (!options_.log.empty()) {
      log_.reset(std::fopen(options_.log.c_str(), "w"));
      if (!log_) die("cannot write " + options_.log, true);
    }
    stop_fd_ = stop_signal_fd();
    listener_ = listen_and_announce(options_.listen, tls_ == nullptr ? "http" : "https");
    poller_.add(stop_fd_, &stop_fd_, EPOLLIN);
    poller_.add(listener_, &listener_, EPOLLIN);
  }

  void run() {
    epoll_event events[256];
    for (;;) {
      const double wait_s =
          delayed_.empty() ? -1 : std::max(0.0, delayed_.front().due - monotonic_s());
      const int ready = poller_.wait(events, std::size(events), wait_s);
      for (int i = 0; i < ready; ++i) {
        void* const tag = events[i].data.ptr;
        if (tag == &stop_fd_) {
          fmt::print("{}\n", totals_as_json());
          return;
        }
        if (tag == &listener_) {
          accept_all();
        } else {
          on_readable(static_cast<Connection*>(tag));
        }
      }
      while (!delayed_.empty() && delayed_.front().due <= monotonic_s()) {
        Connection* const connection = delayed_.front().connection;
        delayed_.pop_front();
        poller_.add(connection->fd, connection, EPOLLIN);
        answer_delivery(*connection);
      }
    }
  }

 private:
  struct Delayed {
    double due;
    Connection* connection;
  };

  void accept_all() {
    for (int fd = accept_connection(listener_); fd >= 0; fd = accept_connection(listener_)) {
      auto connection = std::make_unique<Connection>();
      connection->fd = fd;
      if (tls_ != nullptr) {
        connection->tls.reset(SSL_new(tls_));
        SSL_set_fd(connection->tls.get(), fd);
        SSL_set_accept_state(connection->tls.get());
      }
      poller_.add(fd, connection.get(), EPOLLIN);
      connections_[fd] = std::move(connection);
    }
  }

  void close_connection(int fd) {
    connections_.erase(fd);
    close(fd);
  }

  // As recv(): 0 at the end, -1 with EAGAIN when there is nothing.
  ssize_t receive(Connection& connection) {
    const std::uint64_t wanted = std::min<std::uint64_t>(
        connection.in_body ? connection.body_left : kHeadBytesMax, sizeof scratch_);
    if (!connection.tls) {
      return recv(connection.fd, scratch_, wanted, connection.in_body ? MSG_TRUNC : 0);
    }
    ERR_clear_error();  // else SSL_get_error() reports what an earlier connection left
    const int got = SSL_read(connection.tls.get(), scratch_, static_cast<int>(wanted));
    if (got > 0) return got;
    if (SSL_get_error(connection.tls.get(), got) != SSL_ERROR_WANT_READ) return 0;
    errno = EAGAIN;
    return -1;
  }

  // What TLS has decrypted does not make the socket readable: taken until there is none.
  void on_readable(Connection* connection) {
    while (take_some(connection)) {
      if (!connection->tls) return;
    }
  }

  // False: nothing more for now, or the connection is gone.
  bool take_some(Connection* connection) {
    const ssize_t got = receive(*connection);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) {
      close_connection(connection->fd);
      return false;
    }
    if (connection->in_body) {
      connection->body_left -= static_cast<std::uint64_t>(got);
    } else {
      connection->received.append(scratch_, static_cast<std::size_t>(got));
      if (!begin_request(*connection)) return true;
    }
    if (connection->body_left > 0) return true;
    connection->in_body = false;
    if (options_.delay_ms == 0) {
      answer_delivery(*connection);
    } else {
      poller_.remove(connection->fd);
      delayed_.push_back({monotonic_s() + options_.delay_ms / 1e3, connection});
      return false;
    }
    return true;
  }

  // False: nothing to do until more bytes come.
  bool begin_request(Connection& connection) {
    const std::optional<Head> head = read_head(connection.received);
    if (!head) return false;
    if (head->first_line.starts_with("GET ")) {
      answer(connection, 200, totals_as_json());
      connection.received.clear();
      return false;
    }
    if (head->header("content-length").empty()) die("a delivery without Content-Length");
    const std::size_t body_here = connection.received.size() - head->bytes;
    if (body_here > head->content_length) die("a second request before the answer to the first");
    connection.records = records_of(*head);
    connection.body_bytes = head->content_length;
    connection.body_left = head->content_length - body_here;
    connection.in_body = true;
    if (log_) connection.log_line = log_line_of(*head);
    connection.received.clear();
    return true;
  }

  void answer_delivery(Connection& connection) {
    ++totals_.requests;
    if (options_.status < 300) {
      totals_.records += connection.records;
      totals_.body_bytes += connection.body_bytes;
      totals_.uncounted_requests += connection.records == 0 ? 1 : 0;
      if (connection.records > 0) {
        totals_.last_s = monotonic_s();
        if (log_) fmt::print(log_.get(), "{}{:.6f}\n", connection.log_line, totals_.last_s);
        if (totals_.first_s == 0) totals_.first_s = totals_.last_s;
      }
    }
    answer(connection, options_.status, "");
  }

  static void answer(Connection& connection, int status, const std::string& body) {
    const std::string text = fmt::format(
        "HTTP/1.1 {} Bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        status, body.size(), body);
    // Short enough to fit an empty send buffer; a lost client is seen by the next recv().
    [[maybe_unused]] const ssize_t sent =
        connection.tls ? SSL_write(connection.tls.get(), text.data(), static_cast<int>(text.size()))
                       : send(connection.fd, text.data(), text.size(), MSG_NOSIGNAL);
  }

  std::string totals_as_json() const {
    return fmt::format(
        R"({{"requests": {}, "uncounted_requests": {}, "records": {}, "body_bytes": {}, )"
        R"("first_s": {:.6f}, "last_s": {:.6f}, "cpu_s": {:.4f}}})",
        totals_.requests, totals_.uncounted_requests, totals_.records, totals_.body_bytes,
        totals_.first_s, totals_.last_s, cpu_s());
  }

  const Options options_;
  Poller poller_;
  SSL_CTX* tls_ = nullptr;
  std::unique_ptr<std::FILE, decltype(&std::fclose)> log_{nullptr, &std::fclose};
  int stop_fd_ = -1;
  int listener_ = -1;
  Totals totals_;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;  // by descriptor
  std::deque<Delayed> delayed_;  // one delay for all, so the order of arrival is the order due
  char scratch_[1 << 20];        // with MSG_TRUNC never written, so never resident
};

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  sluice::bench::Options options;
  CLI::App app{
      "Receives deliveries, counts the records, throws the bodies away. GET /stats and "
      "SIGTERM tell the totals."};
  app.add_option("--listen", options.listen, "HOST:PORT; port 0 takes a free one");
  app.add_option("--delay-ms", options.delay_ms, "answer so much later");
  app.add_option("--status", options.status, "answer with this status; only 2xx are counted");
  app.add_option("--log", options.log, "a line for each counted delivery: PATH OFFSETS TIME");
  app.add_option("--tls-cert", options.tls_cert, "speak TLS with this certificate (PEM)");
  app.add_option("--tls-key", options.tls_key, "and this key (PEM)");
  CLI11_PARSE(app, argc, argv);
  sluice::bench::Sink(options).run();
}
