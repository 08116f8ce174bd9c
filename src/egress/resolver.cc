#include "egress/resolver.h"

#include <ares.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "egress/wait.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;

constexpr int kTryTimeoutMs = 2000;
constexpr int kTries = 3;  // per server, each waiting longer than the one before

void init_library() {
  static const int status = ares_library_init(ARES_LIB_INIT_ALL);
  SLUICE_ASSERT(status == ARES_SUCCESS);
}

std::int64_t configuration_changed_ns() {
  struct stat status = {};
  if (::stat("/etc/resolv.conf", &status) != 0) return 0;
  return status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
}

std::optional<asio::ip::address> address_of(const sockaddr* socket_address) {
  if (socket_address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(socket_address);
    return asio::ip::address_v4(ntohl(v4->sin_addr.s_addr));
  }
  if (socket_address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(socket_address);
    asio::ip::address_v6::bytes_type bytes;
    std::copy_n(v6->sin6_addr.s6_addr, bytes.size(), bytes.begin());
    return asio::ip::address_v6(bytes);
  }
  return std::nullopt;
}

Error failure(const std::string& host, int status) {
  switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME: return {ErrorCode::Unavailable, fmt::format("DNS knows no {}", host)};
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
      return {ErrorCode::Unavailable, fmt::format("DNS gave no answer for {}", host)};
    default:
      return {ErrorCode::Unavailable,
              fmt::format("DNS failed for {}: {}", host, ares_strerror(status))};
  }
}

}  // namespace

// Shared by the map and the coroutines that wait for it.
struct Resolver::Lookup {
  Resolver* resolver;
  std::string host;
  OrganisationId organisation;
  std::optional<Result<Addresses>> result;
  std::vector<asio::steady_timer*> waiting;
};

Resolver::Resolver(asio::io_context& loop, const Clock& clock, Options options)
    : loop_(loop),
      clock_(clock),
      options_(std::move(options)),
      watcher_(loop,
               [this](int fd, bool readable, bool writable) {
                 ares_process_fd(channel_, readable ? fd : ARES_SOCKET_BAD,
                                 writable ? fd : ARES_SOCKET_BAD);
                 arm_timer();
               }),
      timer_(loop) {}

Resolver::~Resolver() {
  timer_.cancel();
  if (channel_ != nullptr) ares_destroy(channel_);
}

Result<void> Resolver::check_servers(const std::string& servers) {
  init_library();
  ares_channeldata* channel = nullptr;
  if (ares_init(&channel) != ARES_SUCCESS) {
    return Error{ErrorCode::Unavailable, "cannot set up DNS look-ups"};
  }
  const std::unique_ptr<ares_channeldata, decltype(&ares_destroy)> owned(channel, &ares_destroy);
  if (ares_set_servers_ports_csv(channel, servers.c_str()) != ARES_SUCCESS) {
    return Error{ErrorCode::InvalidArgument,
                 fmt::format("\"{}\" is no list of DNS servers (address:port,...)", servers)};
  }
  return {};
}

// c-ares reads the system's configuration once a channel: a changed one needs a new channel.
void Resolver::open_channel() {
  const std::int64_t configured = configuration_changed_ns();
  if (channel_ != nullptr) {
    if (configured == configured_ || !lookups_.empty()) return;
    ares_destroy(std::exchange(channel_, nullptr));
  }
  configured_ = configured;
  init_library();
  ares_options options = {};
  options.timeout = kTryTimeoutMs;
  options.tries = kTries;
  options.sock_state_cb_data = &watcher_;
  options.sock_state_cb = [](void* watcher, ares_socket_t fd, int readable, int writable) {
    static_cast<FdWatcher*>(watcher)->watch(fd, readable != 0, writable != 0);
  };
  const int flags = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
  if (ares_init_options(&channel_, &options, flags) != ARES_SUCCESS) {
    channel_ = nullptr;
    return;
  }
  if (!options_.servers.empty()) ares_set_servers_ports_csv(channel_, options_.servers.c_str());
}

Awaitable<Result<Addresses>> Resolver::resolve(std::string host, OrganisationId organisation,
                                               SteadyTime deadline) {
  if (const auto cached = cache_.find(host); cached != cache_.end()) {
    if (clock_.steady() < cached->second.expires) co_return cached->second.result;
    cache_.erase(cached);
  }
  Result<std::shared_ptr<Lookup>> begun = begin(host, organisation);
  if (!begun.has_value()) co_return begun.error();
  const std::shared_ptr<Lookup> lookup = *begun;

  asio::steady_timer wake(loop_, loop_time(deadline, clock_));
  while (!lookup->result.has_value()) {
    lookup->waiting.push_back(&wake);
    const bool go_on = co_await wait_for_wake(wake);
    std::erase(lookup->waiting, &wake);
    if (!go_on) co_return Error{ErrorCode::Cancelled, fmt::format("look-up of {} cancelled", host)};
    if (!lookup->result.has_value()) {
      not_heard(host);
      co_return Error{ErrorCode::Timeout, fmt::format("DNS gave no answer for {} in time", host)};
    }
  }
  co_return *lookup->result;
}

Result<std::shared_ptr<Resolver::Lookup>> Resolver::begin(const std::string& host,
                                                          OrganisationId organisation) {
  if (const auto under_way = lookups_.find(host); under_way != lookups_.end()) {
    return under_way->second;
  }
  open_channel();
  if (channel_ == nullptr) return Error{ErrorCode::Unavailable, "cannot set up DNS look-ups"};
  std::uint32_t& begun = lookups_of_[organisation];
  if (begun >= options_.lookups_per_organisation_max) {
    return Error{
        ErrorCode::Unavailable,
        fmt::format("DNS: {} look-ups of this organisation wait for an answer already", begun)};
  }
  auto lookup = std::make_shared<Lookup>(Lookup{this, host, organisation, std::nullopt, {}});
  lookups_.emplace(host, lookup);
  ++begun;

  ares_addrinfo_hints hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // else one result per socket type
  const auto done = [](void* argument, int status, int /*timeouts*/, ares_addrinfo* answer) {
    const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(answer,
                                                                             &ares_freeaddrinfo);
    if (status == ARES_EDESTRUCTION) return;  // ~Resolver: nobody waits any more
    auto* of = static_cast<Lookup*>(argument);
    of->resolver->on_answer(*of, status, answer);
  };
  beginning_ = true;
  ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, done, lookup.get());
  beginning_ = false;
  arm_timer();
  return lookup;
}

void Resolver::heard() {
  heard_ = true;
  refused_ = false;
  unanswered_.clear();
}

void Resolver::not_heard(const std::string& host) {
  const bool known = std::find(unanswered_.begin(), unanswered_.end(), host) != unanswered_.end();
  if (!known && unanswered_.size() < 2) unanswered_.push_back(host);
}

void Resolver::on_answer(Lookup& lookup, int status, const ares_addrinfo* answer) {
  if (status == ARES_ECONNREFUSED) {
    refused_ = true;
  } else if (status == ARES_ETIMEOUT) {
    not_heard(lookup.host);
  } else if (!beginning_) {
    heard();
  }
  Addresses addresses;
  for (const ares_addrinfo_node* node = answer == nullptr ? nullptr : answer->nodes;
       node != nullptr; node = node->ai_next) {
    const std::optional<asio::ip::address> address = address_of(node->ai_addr);
    if (address.has_value() &&
        std::find(addresses.begin(), addresses.end(), *address) == addresses.end()) {
      addresses.push_back(*address);
    }
  }
  if (status == ARES_SUCCESS && !addresses.empty()) {
    lookup.result = std::move(addresses);
  } else {
    lookup.result = failure(lookup.host, status == ARES_SUCCESS ? ARES_ENODATA : status);
  }
  remember(lookup.host, *lookup.result);
  for (asio::steady_timer* waiting : lookup.waiting) waiting->cancel();

  const auto count = lookups_of_.find(lookup.organisation);
  if (--count->second == 0) lookups_of_.erase(count);
  const std::string host = lookup.host;  // the map may hold the last reference to `lookup`
  lookups_.erase(host);
}

void Resolver::remember(const std::string& host, const Result<Addresses>& result) {
  const SteadyTime now = clock_.steady();
  if (cache_.size() >= options_.cache_entries_max) {
    std::erase_if(cache_, [now](const auto& entry) { return entry.second.expires <= now; });
    if (cache_.size() >= options_.cache_entries_max) cache_.clear();
  }
  const std::chrono::seconds life =
      result.has_value() ? options_.cache : std::min(options_.cache, options_.failure_cache);
  cache_.insert_or_assign(host, Cached{result, now + life});
}

void Resolver::arm_timer() {
  timeval storage = {};
  const timeval* next = ares_timeout(channel_, nullptr, &storage);
  if (next == nullptr) {
    timer_.cancel();
    return;
  }
  timer_.expires_after(std::chrono::seconds(next->tv_sec) +
                       std::chrono::microseconds(next->tv_usec));
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code ec) {
    if (ec || alive.expired()) return;
    ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer();
  });
}

}  // namespace sluice::egress
