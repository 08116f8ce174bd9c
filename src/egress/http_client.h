#pragma once
// One door for every outbound byte: resolves the name, refuses forbidden addresses, connects
// to the address it checked, verifies certificates, sends bodies from where they lie. Brokers,
// which speak something else than HTTP, are reached through it too. OpenSSL, Beast and c-ares live
// in the .cc files.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/awaitable.h"
#include "base/clock.h"
#include "base/result.h"
#include "model/attempt.h"
#include "model/ids.h"

namespace boost::asio {
class io_context;
}
namespace sluice {
class Metrics;
}

namespace sluice::egress {

struct Settings {
  // Exceptions to the address rules: networks ("10.0.0.0/8"), addresses or "host:port".
  std::vector<std::string> allow;
  // "" = none; the environment's proxy variables are never read. A target is checked as far as its
  // name resolves here, but the proxy resolves it again: it must itself refuse inner addresses.
  // Nothing is reused behind it, every request has a connection of its own.
  std::string proxy;
  std::string ca_file;                          // "" = the system's certificate authorities
  std::uint32_t connections_per_host_max = 20;  // per organisation and host
  std::uint32_t connections_max = 2000;         // of this client
  std::chrono::seconds dns_cache{60};
  std::string dns_servers;  // "address:port,..."; "" = the system's
};

// Fails with one sentence: an entry that is no network, address or host:port, a proxy that is no
// http or https URL, a CA file that holds no certificate, DNS servers that are none, a limit of 0.
Result<void> validate(const Settings& settings);

// Refuses what may never be a destination, before any name is resolved: a scheme other than http
// and https, user info, zone ids, hosts spelled as decimal, octal or hex numbers, port 0.
Result<void> validate_url(std::string_view url);

// Whom TLS trusts and what it shows of itself, where that is a stream's own. All of it PEM.
struct TlsOptions {
  std::string ca;           // "" = the server's authorities
  bool ours_too = false;    // `ca` is trusted beside them, not in their place
  std::string certificate;  // and those of its chain; "" = none
  std::string key;          // the certificate's, not encrypted

  bool empty() const { return ca.empty() && certificate.empty(); }
};

// InvalidArgument: "ca: ...", "certificate: ..." or "key: ...", what is wrong with it.
Result<void> validate(const TlsOptions& options);

class TlsContext;

// A body that is made while it is sent, so that it need not lie in memory.
class BodySource {
 public:
  virtual ~BodySource() = default;
  // Of every request that sends it, before the first next(): it is given from its beginning.
  virtual void begin() = 0;
  // The next piece, good until the next call. "": there are no more, and none is asked for behind
  // that. An error ends the request as a fault of ours; code and message are perform()'s.
  virtual Awaitable<Result<std::string_view>> next() = 0;
};

struct HttpRequest {
  OrganisationId organisation;  // organisations never share a connection
  std::string method = "POST";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  // Of make_tls(). Connections are not shared with requests that have another. Null: the server's.
  std::shared_ptr<TlsContext> tls = nullptr;
  // The body, gathered in order. The caller keeps the bytes until perform() has returned.
  std::vector<std::string_view> body;
  // In its place. Outlives the request, and gives exactly that many bytes.
  BodySource* body_source = nullptr;
  std::uint64_t body_source_bytes = 0;
  std::size_t answer_bytes_max = 64 * 1024;  // of the answer's body
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // its first answer_bytes_max, read for at most 1 s after the head
  std::optional<std::chrono::milliseconds> retry_after;  // seconds or HTTP-date, never negative
};

// A broker, by what parse_host_and_port() has read.
struct StreamTarget {
  OrganisationId organisation;
  std::string host;
  std::uint16_t port = 0;
  bool secure = false;                        // over TLS
  std::shared_ptr<TlsContext> tls = nullptr;  // as in HttpRequest
};

class ByteStream;

// Threads: one I/O thread's; make one per loop. Destroy it after its loop has stopped, or when
// nothing is under way.
class HttpClient {
 public:
  // `metrics` may be null: nothing is shown.
  HttpClient(boost::asio::io_context& loop, const Clock& clock, Settings settings,
             Metrics* metrics = nullptr);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  boost::asio::io_context& loop() const;

  // One attempt, one deadline for everything from DNS to the status line. Redirects are answers,
  // never followed. Any HTTP status is a value. Errors: Timeout; Unavailable (DNS, connection,
  // TLS); InvalidArgument (the address rules refuse it); Cancelled. Messages carry no secrets.
  // Cancellable (asio terminal cancellation): the connection is closed. An error comes with whose
  // fault it is in `fault`, which outlives the awaitable.
  Awaitable<Result<HttpResponse>> perform(HttpRequest request, SteadyTime deadline,
                                          Fault* fault = nullptr);

  // Resolves, connects, shakes hands with TLS and sends no request. Errors as above.
  Awaitable<Result<void>> probe(std::string url, OrganisationId organisation, SteadyTime deadline,
                                std::shared_ptr<TlsContext> tls = nullptr);

  // A connection of the caller's own, under the same rules, limits and errors.
  Awaitable<Result<std::unique_ptr<ByteStream>>> connect(StreamTarget target, SteadyTime deadline,
                                                         Fault* fault = nullptr);

  // For requests to this client. `options` have passed validate(); empty ones give null.
  std::shared_ptr<TlsContext> make_tls(TlsOptions options) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::egress
