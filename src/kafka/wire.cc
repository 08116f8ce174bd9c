#include "kafka/wire.h"

#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/units.h"
#include "egress/wait.h"

namespace sluice::kafka {

namespace asio = boost::asio;

namespace {

// A cluster has as many brokers as this; a peer that names more is not one.
constexpr std::size_t kBrokersMax = 1000;

// Until nothing more can be written to `fd`: how much that was. Nullopt: an error, in errno.
std::optional<std::size_t> fill(int fd) {
  constexpr std::array<char, 16 * kKiB> kStuff{};
  std::size_t filled = 0;
  while (true) {
    const ssize_t sent = ::send(fd, kStuff.data(), kStuff.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      filled += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      return filled;
    } else if (errno != EINTR) {
      return std::nullopt;
    }
  }
}

}  // namespace

Wire::Wire(egress::HttpClient& http, const Clock& clock, Options options,
           std::function<void(const WireFault&)> on_fault)
    : http_(http),
      clock_(clock),
      options_(std::move(options)),
      on_fault_(std::move(on_fault)),
      loop_(&http.loop()) {}

void Wire::install(rd_kafka_conf_s* configuration) {
  rd_kafka_conf_set_opaque(configuration, this);
  rd_kafka_conf_set_socket_cb(configuration, &Wire::on_socket);
  rd_kafka_conf_set_closesocket_cb(configuration, &Wire::on_close);
  rd_kafka_conf_set_resolve_cb(configuration, &Wire::on_resolve);
  rd_kafka_conf_set_connect_cb(configuration, &Wire::on_connect);
}

void Wire::close() {
  on_fault_ = nullptr;
  asio::io_context* loop = nullptr;
  {
    const std::lock_guard lock(mutex_);
    loop = std::exchange(loop_, nullptr);
    for (const auto& [fd, line] : lines_) cut(*line);
  }
  // On the loop, where a signal is at its coroutine before emit() returns: later it may be gone.
  asio::dispatch(*loop, [self = shared_from_this()] {
    // Each may take itself from the list.
    for (auto next = self->carried_.begin(); next != self->carried_.end();) {
      (next++)->emit(asio::cancellation_type::terminal);
    }
  });
}

// One of the library's sockets.
struct Wire::Line {
  // Guarded by the wire's mutex_.
  int near;           // the library's; -1: it has closed it
  int far;            // the pair's other end; -1: it is closed, or relayed
  std::size_t stuff;  // bytes that fill the pair
  // The loop's: the coroutine's, while it runs.
  asio::cancellation_signal* carried = nullptr;
};

int Wire::on_socket(int, int, int, void* wire) {
  auto& self = *static_cast<Wire*>(wire);
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return self.no_socket(errno);
  }
  const std::optional<std::size_t> stuff = fill(ends[0]);
  if (!stuff) {
    const int error = errno;
    for (const int end : ends) ::close(end);
    return self.no_socket(error);
  }
  const auto line = std::make_shared<Line>(Line{ends[0], ends[1], *stuff});
  const std::lock_guard lock(self.mutex_);
  self.lines_[ends[0]] = line;
  return ends[0];
}

int Wire::no_socket(int error) {
  const std::string why = error == EMFILE || error == ENFILE
                              ? "no file descriptor is left"
                              : std::generic_category().message(error);
  const std::lock_guard lock(mutex_);
  if (loop_ != nullptr) {
    asio::post(*loop_, [self = shared_from_this(), why] {
      self->report({ErrorCode::Unavailable, why}, Fault::Us);
    });
  }
  return -1;
}

int Wire::on_close(int fd, void* wire) {
  auto& self = *static_cast<Wire*>(wire);
  const std::lock_guard lock(self.mutex_);
  if (const auto found = self.lines_.find(fd); found != self.lines_.end()) {
    const std::shared_ptr<Line> line = found->second;
    self.lines_.erase(found);
    line->near = -1;
    if (line->far >= 0) ::close(std::exchange(line->far, -1));
    if (self.loop_ != nullptr) {
      asio::post(*self.loop_, [line] {
        if (line->carried != nullptr) line->carried->emit(asio::cancellation_type::terminal);
      });
    }
  }
  return ::close(fd);
}

// Gives each broker an address of its own that is none: its index.
int Wire::on_resolve(const char* node, const char* service, const addrinfo*, addrinfo** found,
                     void* wire) {
  struct Answer {
    addrinfo info;
    sockaddr_in address;
  };
  if (node == nullptr) {
    delete reinterpret_cast<Answer*>(*found);
    return 0;
  }
  Broker broker{node, 0};
  const char* const end = service + std::strlen(service);
  if (std::from_chars(service, end, broker.port).ptr != end) return EAI_SERVICE;
  auto& self = *static_cast<Wire*>(wire);
  const std::lock_guard lock(self.mutex_);
  const auto known = std::ranges::find_if(self.brokers_, [&broker](const Broker& one) {
    return one.host == broker.host && one.port == broker.port;
  });
  const auto index = static_cast<std::size_t>(known - self.brokers_.begin());
  if (index == kBrokersMax) return EAI_FAIL;
  auto* answer = new Answer{};
  answer->address.sin_family = AF_INET;
  answer->address.sin_port = htons(broker.port);
  answer->address.sin_addr.s_addr = htonl(static_cast<std::uint32_t>(index));
  answer->info.ai_family = AF_INET;
  answer->info.ai_socktype = SOCK_STREAM;
  answer->info.ai_protocol = IPPROTO_TCP;
  answer->info.ai_addrlen = sizeof(answer->address);
  answer->info.ai_addr = reinterpret_cast<sockaddr*>(&answer->address);
  *found = &answer->info;
  if (known == self.brokers_.end()) self.brokers_.push_back(std::move(broker));
  return 0;
}

int Wire::on_connect(int fd, const sockaddr* address, int, const char*, void* wire) {
  const auto* broker = reinterpret_cast<const sockaddr_in*>(address);
  return static_cast<Wire*>(wire)->begin(fd, ntohl(broker->sin_addr.s_addr));
}

int Wire::begin(int fd, std::size_t broker) {
  const std::lock_guard lock(mutex_);
  const auto line = lines_.find(fd);
  if (loop_ == nullptr || line == lines_.end() || broker >= brokers_.size()) return ENETDOWN;
  asio::post(*loop_, [self = shared_from_this(), line = line->second, to = brokers_[broker]] {
    self->spawn(line, to);
  });
  return 0;
}

void Wire::spawn(std::shared_ptr<Line> line, Broker broker) {
  asio::io_context* loop = nullptr;
  {
    const std::lock_guard lock(mutex_);
    loop = loop_;
  }
  if (loop == nullptr) return end(*line);
  const auto cancel = carried_.emplace(carried_.end());
  line->carried = &*cancel;
  asio::co_spawn(*loop, carry(shared_from_this(), line, std::move(broker)),
                 asio::bind_cancellation_slot(cancel->slot(), [self = shared_from_this(), line,
                                                               cancel](const std::exception_ptr&) {
                   self->end(*line);
                   line->carried = nullptr;
                   self->carried_.erase(cancel);
                 }));
}

void Wire::end(Line& line) {
  const std::lock_guard lock(mutex_);
  cut(line);
}

// The library finds the connection closed, or that it could not be made: the far end's close is an
// error at a near end that is still full. After a shutdown() there is none, as if it were made.
void Wire::cut(Line& line) {
  if (line.far >= 0) {
    ::close(std::exchange(line.far, -1));
  } else if (line.near >= 0) {
    ::shutdown(line.near, SHUT_RDWR);
  }
}

Awaitable<void> Wire::carry(std::shared_ptr<Wire> wire, std::shared_ptr<Line> line, Broker broker) {
  const Options& options = wire->options_;
  Fault fault = Fault::Destination;
  const SteadyTime deadline = wire->clock_.steady() + options.connect_ms_max;
  // Named: GCC 12 destroys such a temporary of a co_await expression twice.
  egress::StreamTarget target{options.organisation, std::move(broker.host), broker.port,
                              options.secure, options.tls};
  const Result<std::unique_ptr<egress::ByteStream>> made =
      co_await wire->http_.connect(std::move(target), deadline, &fault);
  if (!made.has_value()) {
    wire->report(made.error(), fault);
    co_return;
  }
  wire->was_made();
  if (const std::optional<int> connection = (*made)->release()) {
    co_return co_await wire->give(*line, *connection);
  }
  std::optional<egress::LocalSocket> local = wire->take(*line);
  if (!local) co_return;
  const Result<void> carried = co_await (*made)->relay(*std::move(local));
  if (!carried.has_value()) wire->report(carried.error(), Fault::Destination);
}

// Makes the library's descriptor the connection, until the library closes it.
Awaitable<void> Wire::give(Line& line, int connection) {
  asio::steady_timer over(http_.loop(), asio::steady_timer::time_point::max());
  {
    const std::lock_guard lock(mutex_);
    const bool wanted = loop_ != nullptr && line.near >= 0;
    const bool given = wanted && ::dup3(connection, line.near, O_CLOEXEC) >= 0;
    ::close(connection);
    if (!given) co_return;
    ::close(std::exchange(line.far, -1));  // wakes the library, if it waits at the pair
  }
  co_await egress::wait_for_wake(over);
}

// The pair's far end, the pair emptied. Nullopt: the library has closed its own.
std::optional<egress::LocalSocket> Wire::take(Line& line) {
  const std::lock_guard lock(mutex_);
  if (line.near < 0) return std::nullopt;
  std::array<char, 16 * kKiB> stuff;
  for (std::size_t left = line.stuff; left > 0;) {
    const ssize_t got = ::recv(line.far, stuff.data(), std::min(left, stuff.size()), MSG_DONTWAIT);
    if (got <= 0) return std::nullopt;
    left -= static_cast<std::size_t>(got);
  }
  return egress::LocalSocket(http_.loop(), asio::local::stream_protocol(),
                             std::exchange(line.far, -1));
}

void Wire::was_made() {
  const std::lock_guard lock(mutex_);
  fault_.reset();
}

void Wire::report(Error error, Fault fault) {
  if (error.code == ErrorCode::Cancelled) return;
  const WireFault why{std::move(error), fault};
  {
    const std::lock_guard lock(mutex_);
    fault_ = why;
  }
  if (on_fault_) on_fault_(why);
}

std::optional<WireFault> Wire::fault() {
  const std::lock_guard lock(mutex_);
  return fault_;
}

}  // namespace sluice::kafka
