#include "egress/connection_pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "egress/url.h"

namespace sluice::egress {

using SteadyClock = std::chrono::steady_clock;

namespace {

Error timed_out(const Attempt& attempt, const Destination& destination) {
  return attempt.timed_out("waiting for a free connection to " +
                           host_and_port(destination.host, destination.port));
}

}  // namespace

struct ConnectionPool::Host {
  const Destination* destination = nullptr;  // its key in hosts_
  std::uint32_t count = 0;
  std::vector<IdleList::iterator> idle;      // the one used last is at the end
  std::map<std::uint64_t, Waiter*> waiters;  // by turn; if any, nothing is idle
  std::uint64_t starves_as = 0;              // its key in starving_; 0: not there
};

// In its coroutine's frame, which may go away at any time.
struct ConnectionPool::Waiter {
  Waiter(std::shared_ptr<ConnectionPool> pool_in, Host& host_in, boost::asio::steady_timer& wake_in)
      : pool(std::move(pool_in)), host(host_in), wake(wake_in), turn(++pool->asked_) {
    pool->add_waiter(*this);
  }
  ~Waiter() {
    if (!granted) pool->remove_waiter(*this);
    if (granted && !taken) pool->give_back(host, std::move(connection));
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  const std::shared_ptr<ConnectionPool> pool;
  Host& host;
  boost::asio::steady_timer& wake;
  const std::uint64_t turn;
  bool granted = false;  // has room, and has left the queues
  bool taken = false;    // has passed it on
  std::unique_ptr<Connection> connection;
};

std::size_t ConnectionPool::Hash::operator()(const Destination& destination) const {
  const std::size_t host = std::hash<std::string>{}(destination.host);
  const std::size_t rest = destination.organisation.value() * 131'072 + destination.port * 2u +
                           (destination.tls ? 1u : 0u) + destination.trust * 1'000'003;
  return host ^ (rest * 0x9e3779b97f4a7c15u);
}

ConnectionPool::Place::Place(std::shared_ptr<ConnectionPool> pool, Host& host,
                             std::unique_ptr<Connection> kept)
    : connection(std::move(kept)), pool_(std::move(pool)), host_(&host) {}

ConnectionPool::Place::~Place() {
  connection.reset();
  if (pool_ != nullptr) pool_->give_back(*host_, nullptr);
}

void ConnectionPool::Place::keep() {
  pool_->give_back(*host_, std::move(connection));
  pool_.reset();
}

ConnectionPool::ConnectionPool(boost::asio::io_context& loop, Limits limits,
                               std::optional<Gauges> gauges)
    : timer_(loop), limits_(limits), gauges_(gauges) {}

ConnectionPool::~ConnectionPool() = default;

void ConnectionPool::close() {
  closed_ = true;
  timer_.cancel();
  while (!idle_.empty()) {
    Host& host = *idle_.front().host;
    remove_idle(idle_.begin());
    drop(host);
  }
}

ConnectionPool::Host& ConnectionPool::host_of(Destination destination) {
  const auto [it, is_new] = hosts_.try_emplace(std::move(destination));
  if (is_new) it->second.destination = &it->first;
  return it->second;
}

Awaitable<Result<ConnectionPool::Place>> ConnectionPool::take(Destination destination,
                                                              Attempt& attempt) {
  const std::shared_ptr<ConnectionPool> self = shared_from_this();
  if (attempt.expired()) co_return timed_out(attempt, destination);
  Host& host = host_of(std::move(destination));
  if (std::unique_ptr<Connection> kept = take_idle(host); kept != nullptr) {
    co_return Place(self, host, std::move(kept));
  }
  if (host.waiters.empty() && host.count < limits_.per_destination && make_room()) {
    count(host, 1);
    co_return Place(self, host, nullptr);
  }
  Waiter waiter(self, host, attempt.wake());
  while (!waiter.granted) {
    if (attempt.expired()) co_return timed_out(attempt, *host.destination);
    const bool go_on = co_await attempt.wait();
    if (!go_on) co_return Attempt::cancelled();
  }
  waiter.taken = true;
  std::unique_ptr<Connection> passed_on = std::move(waiter.connection);
  if (passed_on != nullptr && !passed_on->quiet()) passed_on.reset();
  co_return Place(self, host, std::move(passed_on));
}

// The one used last, as long as the peer has neither ended it nor said anything.
std::unique_ptr<Connection> ConnectionPool::take_idle(Host& host) {
  while (!host.idle.empty()) {
    std::unique_ptr<Connection> kept = remove_idle(host.idle.back());
    if (kept->quiet()) return kept;
    count(host, -1);
  }
  return nullptr;
}

std::unique_ptr<Connection> ConnectionPool::remove_idle(IdleList::iterator idle) {
  std::unique_ptr<Connection> connection = std::move(idle->connection);
  std::erase(idle->host->idle, idle);
  idle_.erase(idle);
  return connection;
}

bool ConnectionPool::make_room() {
  if (count_ >= limits_.all && !idle_.empty()) {
    Host& host = *idle_.front().host;
    remove_idle(idle_.begin());
    drop(host);
  }
  return count_ < limits_.all;
}

void ConnectionPool::add_waiter(Waiter& waiter) {
  waiter.host.waiters.emplace(waiter.turn, &waiter);
  if (gauges_) gauges_->waiting.add(1);
  note(waiter.host);
}

void ConnectionPool::remove_waiter(Waiter& waiter) {
  waiter.host.waiters.erase(waiter.turn);
  if (gauges_) gauges_->waiting.add(-1);
  note(waiter.host);
}

void ConnectionPool::grant(Waiter& waiter, std::unique_ptr<Connection> connection) {
  waiter.granted = true;
  waiter.connection = std::move(connection);
  waiter.wake.cancel();
}

// `connection` is null when it was closed.
void ConnectionPool::give_back(Host& host, std::unique_ptr<Connection> connection) {
  if (closed_) {  // nobody who waits will be woken
    connection.reset();
    drop(host);
    return;
  }
  const bool others_first =
      !starving_.empty() &&
      (host.waiters.empty() || starving_.begin()->first < host.waiters.begin()->first);
  if (!host.waiters.empty() && !others_first) {
    Waiter& next = *host.waiters.begin()->second;
    remove_waiter(next);
    grant(next, std::move(connection));
    return;
  }
  if (connection != nullptr && !others_first) {
    idle_.push_back({std::move(connection), SteadyClock::now(), &host});
    host.idle.push_back(std::prev(idle_.end()));
    arm_timer();
    return;
  }
  connection.reset();
  drop(host);
  serve();
}

// One connection of it is gone.
void ConnectionPool::drop(Host& host) {
  SLUICE_ASSERT(host.count > 0 && count_ > 0);
  count(host, -1);
  note(host);
}

void ConnectionPool::count(Host& host, int more) {
  host.count += static_cast<std::uint32_t>(more);
  count_ += static_cast<std::uint32_t>(more);
  if (gauges_) gauges_->connections.add(more);
}

void ConnectionPool::serve() {
  while (!starving_.empty() && make_room()) {
    Host& host = *starving_.begin()->second;
    Waiter& next = *host.waiters.begin()->second;
    count(host, 1);
    remove_waiter(next);
    grant(next, nullptr);
  }
}

// Keeps starving_ true, and forgets hosts that nothing is left of.
void ConnectionPool::note(Host& host) {
  const bool starves = !host.waiters.empty() && host.count < limits_.per_destination;
  const std::uint64_t key = starves ? host.waiters.begin()->first : 0;
  if (key != host.starves_as) {
    if (host.starves_as != 0) starving_.erase(host.starves_as);
    if (key != 0) starving_.emplace(key, &host);
    host.starves_as = key;
  }
  if (host.count == 0 && host.waiters.empty()) hosts_.erase(*host.destination);
}

void ConnectionPool::arm_timer() {
  if (timer_runs_ || idle_.empty()) return;
  timer_runs_ = true;
  timer_.expires_at(idle_.front().since + kIdleMax);
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    const std::shared_ptr<ConnectionPool> pool = weak.lock();
    if (pool == nullptr) return;
    pool->timer_runs_ = false;
    if (ec) return;
    const auto now = SteadyClock::now();
    while (!pool->idle_.empty() && now - pool->idle_.front().since >= kIdleMax) {
      Host& host = *pool->idle_.front().host;
      pool->remove_idle(pool->idle_.begin());
      pool->drop(host);
    }
    pool->arm_timer();
  });
}

}  // namespace sluice::egress
