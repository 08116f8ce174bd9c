#pragma once
// The HTTP/1.1 listener. Beast lives in the .cc files. A request's body is read straight into a
// buffer padded for simdjson; answers may come from any thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/io_threads.h"
#include "base/metrics.h"
#include "base/network.h"
#include "base/result.h"

namespace sluice::http {

// A link of the second mobile generation, at its worst, brings more. A client that drips on
// purpose is gone after a while, however often a byte comes.
inline constexpr std::uint64_t kBodyBytesPerSecondMin = 256;

struct Limits {
  std::uint64_t header_bytes_max = 32 * 1024;  // beyond: 431
  std::uint32_t header_timeout_ms = 30'000;    // from the first byte of a request
  // Without a byte of an announced body, or with one that comes, after this long, at less than
  // kBodyBytesPerSecondMin all in all: 408.
  std::uint32_t body_idle_timeout_ms = 30'000;
  // The same while others wait for the memory that it holds.
  std::uint32_t body_contended_timeout_ms = 2'000;
  std::uint32_t keep_alive_timeout_ms = 75'000;        // between requests
  std::uint32_t connections_max = 10'000;              // beyond: closed at once, counted
  std::uint64_t body_bytes_in_memory_max = 256 << 20;  // of all requests; beyond: bodies wait
};

struct TlsFiles {
  std::string certificate;  // PEM: the certificate, then those between it and a root
  std::string key;          // PEM, without a passphrase
};

struct Settings {
  std::string address = "127.0.0.1:8080";  // see parse_address(); port 0 takes a free one
  std::string admin_address = {};          // a second listener, always without TLS; "": none
  std::optional<TlsFiles> tls = {};        // TLS 1.2 and later
  std::vector<Network> trusted_proxies = {};
  Limits limits = {};
};

// Views stay valid until the request has been answered.
struct RequestHead {
  std::string_view method;
  std::string_view path;   // of the target, percent-encoded as sent
  std::string_view query;  // without the question mark
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::optional<std::uint64_t> content_length;  // absent for chunked and for no body
  // The client's. Of a request that came from a trusted proxy: the last hop of X-Forwarded-For
  // that is no trusted proxy.
  std::string_view remote_address;
  bool admin = false;         // came to Settings::admin_address
  std::size_t io_thread = 0;  // index of the loop it arrived on

  // The value of the first header of that name (any case); "" when there is none.
  std::string_view header(std::string_view name) const;
};

// A share of Limits::body_bytes_in_memory_max, given back on destruction: on any thread, after the
// server too.
class BodyBudget;
// Whose bodies they are: together they take at most a quarter of that limit, so that whoever sends
// slowly holds up himself alone. kEveryones: without that bound.
using BodyShare = std::uint64_t;
inline constexpr BodyShare kEveryones = 0;
class BodyLease {
 public:
  BodyLease() = default;
  BodyLease(std::shared_ptr<BodyBudget> budget, std::uint64_t bytes, BodyShare share);
  BodyLease(BodyLease&& other) noexcept;
  BodyLease& operator=(BodyLease&& other) noexcept;
  ~BodyLease();
  void add(BodyLease other);  // of the same budget
  // For what a body in memory becomes, so before bodies that wait for room; false: there is none.
  bool try_grow(std::uint64_t bytes);
  void shrink_to(std::uint64_t bytes);  // at most what it holds
  std::uint64_t bytes() const { return bytes_; }

 private:
  friend class BodyBudget;
  std::shared_ptr<BodyBudget> budget_;
  std::uint64_t bytes_ = 0;
  BodyShare share_ = kEveryones;
};

// A request's body, with kPadding readable bytes behind it. Mutable by its owner, who may destroy
// it on any thread; its memory counts against the server's limit until then.
class Body {
 public:
  static constexpr std::size_t kPadding = 64;
  Body() = default;
  Body(std::unique_ptr<char[]> storage, std::size_t size, BodyLease lease = {})
      : lease_(std::move(lease)), storage_(std::move(storage)), size_(size) {}
  char* data() { return storage_.get(); }
  const char* data() const { return storage_.get(); }
  std::size_t size() const { return size_; }
  std::string_view view() const { return {storage_.get(), size_}; }
  BodyLease& lease() { return lease_; }

 private:
  BodyLease lease_;  // before storage_: given back once the memory is free
  std::unique_ptr<char[]> storage_;
  std::size_t size_ = 0;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  bool close = false;  // close the connection after it
};

// The body of an answer without end (Server-Sent Events), sent as it comes: chunked, to an HTTP/1.0
// client as it is. Threads: any. Letting go of it ends the answer, once what is queued is sent, and
// closes the connection. A client that takes none of what is queued for body_idle_timeout_ms is cut
// off. To be let go of before the IoThreads are destroyed.
class AnswerStream {
 public:
  virtual ~AnswerStream() = default;
  // False: the client is gone, or the server stops; what was queued is lost. Queues whatever it is
  // given: the caller looks at queued_bytes(). An empty piece only asks.
  virtual bool write(std::string piece) = 0;
  virtual std::uint64_t queued_bytes() const = 0;  // not yet taken by the socket
};

// Answers one request, once, from any thread. Dropped unanswered, it answers 500. A vanished
// client makes send() a no-op. To be used or dropped before the IoThreads are destroyed.
class Responder {
 public:
  struct Target;  // the connection
  explicit Responder(std::shared_ptr<Target> target);
  Responder(Responder&&) noexcept;
  Responder& operator=(Responder&&) noexcept;
  ~Responder();
  void send(Response response) &&;
  // `head.body` is the first piece. Null: the client is gone, or asked for the head alone.
  std::shared_ptr<AnswerStream> stream(Response head) &&;

 private:
  std::shared_ptr<Target> target_;
};

// Called on the connection's I/O thread. Must not block.
class Handler {
 public:
  struct TakeBody {
    std::uint64_t bytes_max;  // larger: 413 through refusal()
    BodyShare share = kEveryones;
  };
  virtual ~Handler() = default;
  // Looks at the head before any byte of the body is read: an answer refuses the request (the
  // connection closes if a body was announced).
  virtual std::variant<TakeBody, Response> on_head(const RequestHead& head) = 0;
  // `head` stays valid until `responder` has been used; `body` is the handler's.
  virtual void on_request(const RequestHead& head, Body body, Responder responder) = 0;
  // What to answer when the listener itself refuses: 400 (not HTTP), 408, 413, 431, 500 (the
  // responder was dropped), 503 (no memory left for a chunked body).
  virtual Response refusal(int status, std::string_view detail) = 0;
};

class Server {
 public:
  // `handler`, `threads` and `metrics` outlive the server. Accepts on every loop of `threads`, from
  // when it runs. InvalidArgument: an address, the certificate or its key; Conflict: an address is
  // in use; Io: anything else.
  static Result<std::unique_ptr<Server>> listen(Settings settings, IoThreads& threads,
                                                Handler& handler, Metrics& metrics);
  virtual ~Server() = default;
  virtual std::string url() const = 0;  // "http://127.0.0.1:8080", with the port really bound
  virtual std::uint16_t port() const = 0;
  virtual std::string admin_url() const = 0;  // "" without one
  // Reads certificate and key again, for connections to come. An error leaves the old ones;
  // NotFound: there are none.
  virtual Result<void> reload_tls() = 0;
  // Takes no new connections or requests; idle connections close; answers under way are sent.
  // Blocks until all are gone or `deadline_ms` have passed, when the rest is cut off. Not from an
  // I/O thread. The destructor does the same with no time to spare.
  virtual void stop(std::uint32_t deadline_ms) = 0;
};

}  // namespace sluice::http
