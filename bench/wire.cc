#include "wire.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace sluice::bench {
namespace {

sockaddr_in socket_address(const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    die("not an IPv4 address: " + host);
  }
  return address;
}

void send_without_delay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

void die(const std::string& message, bool with_errno) {
  const std::string reason = with_errno ? fmt::format(": {}", std::strerror(errno)) : "";
  fmt::print(stderr, "{}: {}{}\n", program_invocation_short_name, message, reason);
  std::exit(1);
}

double monotonic_s() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Url parse_url(const std::string& text) {
  constexpr std::string_view kScheme = "http://";
  const std::string rest = text.starts_with(kScheme) ? text.substr(kScheme.size()) : text;
  const std::size_t slash = rest.find('/');
  const std::string authority = rest.substr(0, slash);
  const std::size_t colon = authority.find(':');
  if (colon == std::string::npos) die("host and port wanted, got: " + text);
  Url url;
  url.host = authority.substr(0, colon);
  const char* const end = authority.data() + authority.size();
  const auto parsed = std::from_chars(authority.data() + colon + 1, end, url.port);
  if (parsed.ec != std::errc() || parsed.ptr != end) die("not a port: " + text);
  if (slash != std::string::npos) url.path = rest.substr(slash);
  return url;
}

int listen_and_announce(const std::string& address, std::string_view scheme) {
  const Url url = parse_url(address);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in bound = socket_address(url.host, url.port);
  socklen_t length = sizeof bound;
  if (bind(fd, reinterpret_cast<sockaddr*>(&bound), length) != 0 || listen(fd, 4096) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    die("cannot listen on " + address, true);
  }
  fmt::print("listening on {}://{}:{}\n", scheme, url.host, ntohs(bound.sin_port));
  std::fflush(stdout);
  return fd;
}

int accept_connection(int listener) {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) send_without_delay(fd);
  return fd;
}

int connect_to(const Url& url) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = socket_address(url.host, url.port);
  if (fd < 0) die("no socket", true);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  const int on = 1;
  ioctl(fd, FIONBIO, &on);
  send_without_delay(fd);
  return fd;
}

Poller::Poller() : fd_(epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_ < 0) die("no epoll", true);
}

Poller::~Poller() { close(fd_); }

void Poller::add(int fd, void* tag, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = tag;
  if (epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl", true);
}

void Poller::remove(int fd) { epoll_ctl(fd_, EPOLL_CTL_DEL, fd, nullptr); }

int Poller::wait(epoll_event* events, int capacity, double timeout_s) {
  timespec timeout{};
  timeout.tv_sec = static_cast<time_t>(std::floor(std::max(timeout_s, 0.0)));
  timeout.tv_nsec = static_cast<long>(1e9 * (timeout_s - std::floor(timeout_s)));
  const int ready =
      epoll_pwait2(fd_, events, capacity, timeout_s < 0 ? nullptr : &timeout, nullptr);
  if (ready < 0 && errno != EINTR) die("epoll_pwait2", true);
  return std::max(ready, 0);
}

int stop_signal_fd() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

std::string_view Head::header(std::string_view name) const {
  for (std::string_view rest = lines; rest.size() > name.size();) {
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    if (line.size() > name.size() && line[name.size()] == ':' &&
        strncasecmp(line.data(), name.data(), name.size()) == 0) {
      const std::string_view value = line.substr(name.size() + 1);
      return value.substr(std::min(value.find_first_not_of(' '), value.size()));
    }
    rest.remove_prefix(std::min(line.size() + 2, rest.size()));
  }
  return {};
}

int Head::status() const {
  return first_line.size() < 12 ? 0 : static_cast<int>(parse_number(first_line.substr(9, 3)));
}

std::optional<Head> read_head(std::string_view received) {
  const std::size_t end = received.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const std::size_t first_line_end = received.find("\r\n");
  Head head;
  head.bytes = end + 4;
  head.first_line = received.substr(0, first_line_end);
  head.lines = received.substr(first_line_end + 2, end - first_line_end);
  head.content_length = parse_number(head.header("content-length"));
  return head;
}

std::uint64_t parse_number(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace sluice::bench
