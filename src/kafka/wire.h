#pragma once
// Where the connections of one librdkafka client go. The library resolves no name, connects to no
// address and speaks no TLS: egress does. Each of its sockets is one end of a pair at first, into
// which nothing more can be written, so that to the library it is still connecting. Once egress has
// connected, that descriptor becomes the connection, or what goes over the pair is relayed through
// TLS.

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "egress/byte_stream.h"
#include "egress/http_client.h"
#include "model/attempt.h"
#include "model/ids.h"

struct rd_kafka_conf_s;
struct addrinfo;
struct sockaddr;

namespace sluice::kafka {

// Why no connection could be made, or why one broke.
struct WireFault {
  Error error;
  Fault fault = Fault::Destination;
};

// Outlives the clients it is installed in. Threads: the library's call what is private; all else is
// the loop's.
class Wire : public std::enable_shared_from_this<Wire> {
 public:
  struct Options {
    OrganisationId organisation;
    bool secure = false;                                // over TLS
    std::shared_ptr<egress::TlsContext> tls = nullptr;  // null: the server's
    std::chrono::milliseconds connect_ms_max{10'000};
  };
  // `on_fault` is called on the loop, until close(); may be null. `http` and `clock` stay as long
  // as the loop runs.
  Wire(egress::HttpClient& http, const Clock& clock, Options options,
       std::function<void(const WireFault&)> on_fault);

  void install(rd_kafka_conf_s* configuration);

  // Ends what is connected; from now on nothing gets through. Once; on the loop, or when it no
  // longer runs.
  void close();

  // What went wrong last; nullopt: a connection was made since. Threads: any.
  std::optional<WireFault> fault();

 private:
  struct Broker {
    std::string host;
    std::uint16_t port = 0;
  };

  struct Line;

  static int on_socket(int domain, int type, int protocol, void* wire);
  static int on_close(int fd, void* wire);
  static int on_resolve(const char* node, const char* service, const addrinfo* hints,
                        addrinfo** found, void* wire);
  static int on_connect(int fd, const sockaddr* address, int length, const char* id, void* wire);
  static Awaitable<void> carry(std::shared_ptr<Wire> wire, std::shared_ptr<Line> line,
                               Broker broker);

  int no_socket(int error);
  int begin(int fd, std::size_t broker);
  void spawn(std::shared_ptr<Line> line, Broker broker);
  Awaitable<void> give(Line& line, int connection);
  std::optional<egress::LocalSocket> take(Line& line);
  void end(Line& line);
  static void cut(Line& line);  // under mutex_
  void was_made();
  void report(Error error, Fault fault);

  egress::HttpClient& http_;
  const Clock& clock_;
  const Options options_;
  std::function<void(const WireFault&)> on_fault_;
  std::list<boost::asio::cancellation_signal> carried_;

  std::mutex mutex_;
  boost::asio::io_context* loop_;                         // guarded; null: closed
  std::unordered_map<int, std::shared_ptr<Line>> lines_;  // guarded; by the library's descriptor
  std::vector<Broker> brokers_;     // guarded; the library knows them by their index
  std::optional<WireFault> fault_;  // guarded
};

}  // namespace sluice::kafka
