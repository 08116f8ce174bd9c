#pragma once
// Kept connections, and how many there may be: for each organisation and destination, and in all.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/awaitable.h"
#include "base/metrics.h"
#include "base/result.h"
#include "egress/attempt.h"
#include "egress/connection.h"
#include "model/ids.h"

namespace sluice::egress {

// Connections of different destinations are never exchanged for each other.
struct Destination {
  OrganisationId organisation;
  std::string host;
  std::uint16_t port = 0;
  bool tls = false;
  std::uint64_t trust = 0;  // TlsContext::id(); 0: the server's
  friend bool operator==(const Destination&, const Destination&) = default;
};

// Threads: the loop's. Shared by the client and its places, which may outlive the client.
class ConnectionPool : public std::enable_shared_from_this<ConnectionPool> {
 public:
  struct Limits {
    std::uint32_t per_destination = 0;
    std::uint32_t all = 0;
  };
  struct Gauges {
    Gauge connections;  // kept ones too
    Gauge waiting;
  };
  static constexpr std::chrono::seconds kIdleMax{60};

 private:
  struct Host;
  struct Waiter;

 public:
  // Room for one connection, and perhaps the connection. Gives the room back when it goes, and
  // closes what it holds.
  class Place {
   public:
    Place(std::shared_ptr<ConnectionPool> pool, Host& host, std::unique_ptr<Connection> kept);
    Place(Place&&) = default;
    Place& operator=(Place&&) = delete;
    ~Place();

    std::unique_ptr<Connection> connection;  // null: to be made
    void keep();  // the connection is fit for another request; ends the place

   private:
    std::shared_ptr<ConnectionPool> pool_;  // null: ended, or moved from
    Host* host_;
  };

  ConnectionPool(boost::asio::io_context& loop, Limits limits, std::optional<Gauges> gauges = {});
  ~ConnectionPool();

  // A kept connection, on which nothing has arrived since, or room for a new one: at the limits
  // in the order of asking, if need be by closing the idle connection that waited longest. Errors:
  // Timeout, Cancelled. `attempt` outlives it.
  Awaitable<Result<Place>> take(Destination destination, Attempt& attempt);

  // Closes what is kept, and keeps nothing from now on.
  void close();

 private:
  struct Hash {
    std::size_t operator()(const Destination& destination) const;
  };
  struct Idle {
    std::unique_ptr<Connection> connection;
    std::chrono::steady_clock::time_point since;
    Host* host;
  };
  using IdleList = std::list<Idle>;

  Host& host_of(Destination destination);
  std::unique_ptr<Connection> take_idle(Host& host);
  std::unique_ptr<Connection> remove_idle(IdleList::iterator idle);
  bool make_room();
  void add_waiter(Waiter& waiter);
  void remove_waiter(Waiter& waiter);
  static void grant(Waiter& waiter, std::unique_ptr<Connection> connection);
  void give_back(Host& host, std::unique_ptr<Connection> connection);
  void drop(Host& host);
  void serve();
  void note(Host& host);
  void count(Host& host, int more);
  void arm_timer();

  boost::asio::steady_timer timer_;
  const Limits limits_;
  std::optional<Gauges> gauges_;
  std::unordered_map<Destination, Host, Hash> hosts_;
  IdleList idle_;  // the one that waited longest first
  // Those that wait for room of all: each host's first waiter, if its own limit is not reached.
  std::map<std::uint64_t, Host*> starving_;
  std::uint32_t count_ = 0;  // connections, and room for such
  std::uint64_t asked_ = 0;  // waiters so far, which gives each its turn
  bool timer_runs_ = false;
  bool closed_ = false;
};

}  // namespace sluice::egress
