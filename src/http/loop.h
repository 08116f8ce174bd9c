#pragma once
// The listener on one event loop: its acceptor, its connections and their deadlines.

#include <array>
#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "http/body_budget.h"
#include "http/connection.h"
#include "http/server.h"
#include "http/tls_context.h"

namespace sluice::http {

using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, Executor>;
using Timer = boost::asio::basic_waitable_timer<
    std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>, Executor>;

// What the loops of one server share. Threads: any.
struct Shared {
  Shared(const Settings& settings, Handler& handler_in, Metrics& metrics, std::size_t loops);

  // Null: the main listener is plain. Asked once a connection.
  std::shared_ptr<const TlsContext> tls() {
    const MutexLock lock(mutex);
    return tls_context;
  }
  bool trusts(const boost::asio::ip::address& address) const;

  const Limits limits;
  const std::vector<Network> trusted_proxies;
  Handler& handler;
  const std::shared_ptr<BodyBudget> budget;
  std::atomic<std::uint32_t> connections = 0;

  Gauge connections_gauge;
  Gauge answer_streams_gauge;
  Gauge body_bytes_gauge;
  Gauge bodies_waiting_gauge;
  Counter refused_connections;
  Counter request_bytes;
  std::array<Counter, 4> answers;  // 2xx, 3xx, 4xx, 5xx

  Mutex mutex;
  CondVar loop_closed;
  std::size_t loops_open SLUICE_GUARDED_BY(mutex);
  std::shared_ptr<const TlsContext> tls_context SLUICE_GUARDED_BY(mutex);
};

// Touched on its loop's thread alone, but for the constructor, start() and shut().
// Deadlines are looked at once in a tick, against a clock read once in a tick: a request costs no
// timer and no clock call, and fires at most two ticks late.
class Loop : public std::enable_shared_from_this<Loop> {
 public:
  // The first of `acceptors` is the main listener's, a second one the admin's.
  Loop(Shared& shared, boost::asio::io_context& context, std::size_t index,
       std::vector<Acceptor> acceptors);

  // Accepts from when the loop runs.
  void start();
  // A connection that has been accepted, here or elsewhere. On the loop's thread.
  void adopt(Socket socket, Listener listener);
  // How to stop, from another thread; loops_open says when it is done. Calls on a loop whose
  // thread has ended act at once.
  enum class Shut : std::uint8_t { AfterAnswers, Now };
  void shut(Shut how);

  // For its connections.
  Shared& shared() { return shared_; }
  std::size_t index() const { return index_; }
  Executor executor() { return context_.get_executor(); }
  bool stopping() const { return stopping_; }
  std::uint64_t deadline_ms(std::uint32_t timeout_ms) const {
    return now_ms_ + tick_ms_ + timeout_ms;
  }
  void count_received(std::size_t bytes) { received_bytes_ += bytes; }
  void count_answer(int status);
  void remove(Connection& connection);

 private:
  struct Door {
    Acceptor acceptor;
    Listener listener;
    bool accept_again = false;  // at the next tick: descriptors or memory ran out
  };
  void accept(Door& door);
  void on_accept(Door& door, boost::system::error_code error, Socket socket);
  void tick();
  void shut_here(Shut how);
  void flush_counts();
  void report_if_closed();

  Shared& shared_;  // until closed_
  boost::asio::io_context& context_;
  const std::size_t index_;
  std::vector<Door> doors_;
  Timer timer_;
  const std::uint64_t tick_ms_;
  std::uint64_t now_ms_ = 0;
  std::vector<std::shared_ptr<Connection>> connections_;
  bool stopping_ = false;
  bool closed_ = false;
  enum class Life : std::uint8_t { Fresh, Running, Shut };
  std::atomic<Life> life_ = Life::Fresh;

  // Since the last tick, so that a request touches no cache line of another thread.
  std::uint64_t received_bytes_ = 0;
  std::array<std::uint64_t, 4> answers_{};
};

}  // namespace sluice::http
