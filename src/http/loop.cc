#include "http/loop.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/logging.h"

namespace sluice::http {
namespace {

constexpr std::uint64_t kTickMsMax = 500;

std::uint64_t steady_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

// An eighth of the shortest timeout, so that none fires noticeably late.
std::uint64_t tick_for(const Limits& limits) {
  const std::uint64_t shortest = std::min(
      {limits.header_timeout_ms, limits.body_idle_timeout_ms, limits.keep_alive_timeout_ms});
  return std::clamp<std::uint64_t>(shortest / 8, 1, kTickMsMax);
}

}  // namespace

Shared::Shared(const Settings& settings, Handler& handler_in, Metrics& metrics, std::size_t loops)
    : limits(settings.limits),
      trusted_proxies(settings.trusted_proxies),
      handler(handler_in),
      budget(std::make_shared<BodyBudget>(limits.body_bytes_in_memory_max)),
      connections_gauge(metrics.gauge("sluice_http_connections", "Open client connections.")),
      answer_streams_gauge(
          metrics.gauge("sluice_http_answer_streams", "Answers without end under way.")),
      body_bytes_gauge(metrics.gauge("sluice_http_body_bytes_in_memory",
                                     "Bytes of request bodies received and not yet dealt with.")),
      bodies_waiting_gauge(metrics.gauge("sluice_http_bodies_waiting",
                                         "Request bodies not read on until there is memory.")),
      refused_connections(metrics.counter("sluice_http_refused_connections_total",
                                          "Connections closed at once: too many were open.")),
      request_bytes(
          metrics.counter("sluice_http_request_bytes_total", "Bytes received from clients.")),
      answers{{metrics.counter("sluice_http_requests_total", "Requests answered.",
                               {{"status_class", "2xx"}}),
               metrics.counter("sluice_http_requests_total", "Requests answered.",
                               {{"status_class", "3xx"}}),
               metrics.counter("sluice_http_requests_total", "Requests answered.",
                               {{"status_class", "4xx"}}),
               metrics.counter("sluice_http_requests_total", "Requests answered.",
                               {{"status_class", "5xx"}})}},
      loops_open(loops) {}

bool Shared::trusts(const boost::asio::ip::address& address) const {
  return std::ranges::any_of(trusted_proxies,
                             [&](const Network& network) { return network.contains(address); });
}

Loop::Loop(Shared& shared, boost::asio::io_context& context, std::size_t index,
           std::vector<Acceptor> acceptors)
    : shared_(shared),
      context_(context),
      index_(index),
      timer_(context),
      tick_ms_(tick_for(shared.limits)) {
  for (Acceptor& acceptor : acceptors) {
    doors_.push_back({std::move(acceptor), doors_.empty() ? Listener::Main : Listener::Admin});
  }
}

void Loop::start() {
  boost::asio::post(context_, [self = shared_from_this()] {
    Life expected = Life::Fresh;
    if (!self->life_.compare_exchange_strong(expected, Life::Running)) return;
    self->tick();
    for (Door& door : self->doors_) self->accept(door);
  });
}

void Loop::shut(Shut how) {
  // A loop that has never run, or runs no more, is not there to do it itself.
  const bool fresh = life_.exchange(Life::Shut) == Life::Fresh;
  if (fresh || context_.stopped()) {
    shut_here(how);
  } else {
    boost::asio::post(context_, [self = shared_from_this(), how] { self->shut_here(how); });
  }
}

void Loop::shut_here(Shut how) {
  if (closed_) return;
  stopping_ = true;
  boost::system::error_code ignored;
  for (Door& door : doors_) door.acceptor.close(ignored);
  // From the end: a connection that closes is replaced by the last one.
  for (std::size_t i = connections_.size(); i-- > 0;) {
    const std::shared_ptr<Connection> connection = connections_[i];
    if (how == Shut::Now) {
      connection->close();
    } else {
      connection->stop();
    }
  }
  report_if_closed();
}

void Loop::report_if_closed() {
  if (closed_ || !stopping_ || !connections_.empty()) return;
  closed_ = true;
  timer_.cancel();
  flush_counts();
  MutexLock lock(shared_.mutex);
  --shared_.loops_open;
  shared_.loop_closed.notify_all();
}

void Loop::accept(Door& door) {
  door.acceptor.async_accept(
      context_, [self = shared_from_this(), &door](boost::system::error_code error, Socket socket) {
        self->on_accept(door, error, std::move(socket));
      });
}

void Loop::on_accept(Door& door, boost::system::error_code error, Socket socket) {
  if (stopping_) return;
  if (error == boost::asio::error::connection_aborted) return accept(door);
  if (error) {
    // Out of descriptors or memory: trying at once would spin.
    logging::warn("cannot accept connections", {{"reason", error.message()}});
    door.accept_again = true;
    return;
  }
  adopt(std::move(socket), door.listener);
  accept(door);
}

void Loop::adopt(Socket socket, Listener listener) {
  if (shared_.connections.fetch_add(1) >= shared_.limits.connections_max) {
    shared_.connections.fetch_sub(1);
    shared_.refused_connections.add();
    return;
  }
  shared_.connections_gauge.add(1);
  std::shared_ptr<Connection> connection = make_connection(*this, std::move(socket), listener);
  connection->slot = connections_.size();
  connections_.push_back(connection);
  connection->start();
}

void Loop::remove(Connection& connection) {
  shared_.connections.fetch_sub(1);
  shared_.connections_gauge.add(-1);
  const std::size_t slot = connection.slot;
  SLUICE_ASSERT(connections_[slot].get() == &connection);
  std::swap(connections_[slot], connections_.back());
  connections_[slot]->slot = slot;
  connections_.pop_back();
  report_if_closed();
}

void Loop::count_answer(int status) {
  if (status >= 200 && status < 600) ++answers_[static_cast<std::size_t>(status / 100 - 2)];
}

void Loop::flush_counts() {
  shared_.request_bytes.add(static_cast<double>(std::exchange(received_bytes_, 0)));
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    if (answers_[i] > 0) shared_.answers[i].add(static_cast<double>(std::exchange(answers_[i], 0)));
  }
  shared_.body_bytes_gauge.set(static_cast<double>(shared_.budget->used()));
  shared_.bodies_waiting_gauge.set(static_cast<double>(shared_.budget->waiting()));
}

void Loop::tick() {
  if (closed_) return;
  now_ms_ = steady_ms();
  flush_counts();
  for (Door& door : doors_) {
    if (std::exchange(door.accept_again, false) && !stopping_) accept(door);
  }
  for (std::size_t i = connections_.size(); i-- > 0;) {
    // A sweep may close this one and, through its handler, no other.
    const std::shared_ptr<Connection> connection = connections_[i];
    connection->sweep(now_ms_);
  }
  if (closed_) return;
  timer_.expires_after(std::chrono::milliseconds(tick_ms_));
  timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (!error) self->tick();
  });
}

}  // namespace sluice::http
