#pragma once
// Names to addresses, by c-ares in the I/O loop. Blind to the address rules.

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/awaitable.h"
#include "base/clock.h"
#include "base/result.h"
#include "egress/fd_watcher.h"
#include "model/ids.h"

struct ares_channeldata;
struct ares_addrinfo;

namespace sluice::egress {

using Addresses = std::vector<boost::asio::ip::address>;

// Threads: the loop's. Outlives the coroutines that wait on it, or its loop never runs again.
class Resolver {
 public:
  struct Options {
    std::chrono::seconds cache{60};         // of answers, whatever their time to live says
    std::chrono::seconds failure_cache{5};  // so that a dead name costs one look-up, not one a try
    std::size_t cache_entries_max = 10'000;
    // Look-ups under way that an organisation has begun. Names whose servers never answer hold
    // their places until c-ares gives up; only that organisation waits for them.
    std::uint32_t lookups_per_organisation_max = 20;
    std::string servers;  // as check_servers() takes them; "" = the system's
  };

  Resolver(boost::asio::io_context& loop, const Clock& clock, Options options);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Whether Options::servers can be read. For settings, before anything is built on them.
  static Result<void> check_servers(const std::string& servers);

  // The system's hosts file counts. Errors: Unavailable (no such name, servers fail, too many
  // look-ups), Timeout, Cancelled.
  Awaitable<Result<Addresses>> resolve(std::string host, OrganisationId organisation,
                                       SteadyTime deadline);

  // The servers that we ask are to blame: they refuse, have never answered, or leave different
  // names unanswered. One name alone may have servers of its own that are silent.
  bool servers_are_silent() const { return refused_ || unanswered_.size() > (heard_ ? 1u : 0u); }

 private:
  struct Lookup;
  struct Cached {
    Result<Addresses> result;
    SteadyTime expires;
  };

  void open_channel();
  Result<std::shared_ptr<Lookup>> begin(const std::string& host, OrganisationId organisation);
  void on_answer(Lookup& lookup, int status, const ares_addrinfo* answer);
  void remember(const std::string& host, const Result<Addresses>& result);
  void arm_timer();
  void heard();
  void not_heard(const std::string& host);

  boost::asio::io_context& loop_;
  const Clock& clock_;
  const Options options_;
  FdWatcher watcher_;
  boost::asio::steady_timer timer_;  // c-ares' own repeats and time-outs
  ares_channeldata* channel_ = nullptr;
  std::int64_t configured_ = 0;  // when the system's list of DNS servers had last changed then
  std::unordered_map<std::string, Cached> cache_;
  std::unordered_map<std::string, std::shared_ptr<Lookup>> lookups_;  // under way, by host
  std::unordered_map<OrganisationId, std::uint32_t> lookups_of_;      // how many each has begun
  bool beginning_ = false;               // what comes now comes from the hosts file
  bool heard_ = false;                   // a server has answered, if not for this name
  bool refused_ = false;                 // all of them, since
  std::vector<std::string> unanswered_;  // since: two names at most
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);  // for timer handlers
};

}  // namespace sluice::egress
