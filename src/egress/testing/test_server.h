#pragma once
// A blocking HTTP(S) server on 127.0.0.1 for tests: each connection runs a script on a thread of
// its own, so that a test can misbehave in any way it likes.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

struct ssl_ctx_st;
struct ssl_st;

namespace sluice::egress::testing {

struct Request {
  std::string head;  // request line and headers
  std::string body;
};

class TestServer;

// The server's side of one connection. After a failure every call fails at once.
class Peer {
 public:
  int number() const { return number_; }  // of the connection, from 1
  // Waits for a whole request; nullopt: the client hung up.
  std::optional<Request> read_request();
  std::string read_head();                  // up to and with the empty line; "" at the end
  std::string read(std::size_t bytes_max);  // "" at the end
  bool write(std::string_view bytes);
  bool answer(int status, std::string_view headers = "", std::string_view body = "");
  bool wait(std::chrono::milliseconds time);  // false: the server stops
  void reset();                               // RST instead of FIN
  void relay(std::uint16_t port);  // passes bytes to and from 127.0.0.1:port until one side ends

 private:
  friend class TestServer;
  Peer(TestServer& server, int fd, int number) : server_(server), fd_(fd), number_(number) {}
  bool accept_tls(ssl_ctx_st* context);
  void end();

  TestServer& server_;
  const int fd_;
  const int number_;
  ssl_st* ssl_ = nullptr;
  std::string unread_;
};

// A key pair with its certificate, both PEM.
struct Identity {
  std::string certificate;
  std::string key;
};
struct CertificateOptions {
  std::string names = "DNS:localhost,IP:127.0.0.1";  // subjectAltName
  int begins_in_s = -3600;
  int ends_in_s = 3600;
};
Identity make_authority();
Identity make_certificate(const Identity& authority, const CertificateOptions& options);

class TestServer {
 public:
  using Script = std::function<void(Peer&)>;

  explicit TestServer(Script script, std::optional<Identity> tls = std::nullopt);
  ~TestServer();  // hangs up on everyone
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  std::uint16_t port() const { return port_; }
  int connections() const { return connections_; }  // accepted so far
  int ended() const { return ended_; }              // of these, closed by the script's end

 private:
  friend class Peer;
  void accept_loop();
  void serve(int fd, int number);

  const Script script_;
  ssl_ctx_st* tls_ = nullptr;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  std::atomic<int> ended_ = 0;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::list<int> open_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace sluice::egress::testing
