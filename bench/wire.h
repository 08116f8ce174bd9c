#pragma once
// Sockets and HTTP heads for the three bench programs. They speak to each other and to Sluice over
// loopback only, so this reads just enough HTTP/1.1 for that: heads with a Content-Length.
// Failures end the program with one sentence: a benchmark with a fault has no result.

#include <sys/epoll.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::bench {

// Prints "<program>: <message>[: <errno text>]" to standard error and exits with 1.
[[noreturn]] void die(const std::string& message, bool with_errno = false);

double monotonic_s();  // CLOCK_MONOTONIC: comparable between processes of one machine
double cpu_s();        // user + system time of this process

struct Url {
  std::string host;  // an IPv4 address
  std::uint16_t port = 0;
  std::string path = "/";
};
Url parse_url(const std::string& text);  // http://127.0.0.1:8080/path

// Binds "host:port" (port 0 takes a free one), prints "listening on <scheme>://host:port".
int listen_and_announce(const std::string& address, std::string_view scheme = "http");
int accept_connection(int listener);  // -1 when nobody waits; the socket does not block
int connect_to(const Url& url);       // -1 when refused; the socket does not block

class Poller {
 public:
  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  void add(int fd, void* tag, std::uint32_t events);
  void remove(int fd);
  // timeout_s < 0 waits for ever.
  int wait(epoll_event* events, int capacity, double timeout_s);

 private:
  int fd_;
};

// A descriptor that becomes readable when SIGTERM or SIGINT comes. Call before starting threads.
int stop_signal_fd();

struct Head {
  std::size_t bytes = 0;  // with the empty line
  std::string_view first_line;
  std::string_view lines;  // the header lines
  std::uint64_t content_length = 0;

  std::string_view header(std::string_view name) const;  // any case; "" when absent
  int status() const;                                    // of an answer
};
// nullopt until the empty line is there. Views point into `received`.
std::optional<Head> read_head(std::string_view received);

std::uint64_t parse_number(std::string_view text);  // leading digits; 0 when there are none

}  // namespace sluice::bench
