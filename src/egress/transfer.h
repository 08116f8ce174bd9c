#pragma once
// One request on its way through libcurl: its options, its callbacks, and what came of it.

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "egress/address_rules.h"
#include "egress/http_client.h"
#include "egress/resolver.h"
#include "egress/url.h"

struct curl_slist;

namespace sluice::egress {

// Threads: the loop's. Neither copied nor moved: libcurl keeps its address. The references outlive
// libcurl's use of it.
class Transfer {
 public:
  struct Environment {
    boost::asio::io_context& loop;
    const Clock& clock;
    const Settings& settings;
    const AddressRules& rules;
  };
  enum class Purpose : std::uint8_t {
    Request,
    Probe,  // connect and shake hands, send nothing
  };

  // `addresses` have passed the rules; unused with a proxy. `url` is request.url, read.
  Transfer(Environment environment, Purpose purpose, HttpRequest request, Url url,
           const Addresses& addresses, SteadyTime deadline);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  void* easy() const { return easy_.get(); }  // CURL*; null once abandoned
  static Transfer& of(void* easy);            // the inverse

  // Expires when the transfer's time is up. Cancelled when it is done or its time changes.
  boost::asio::steady_timer& wake() { return wake_; }
  bool expired() const;
  void finish(int code);  // libcurl is through with it: a CURLcode
  bool done() const { return done_; }
  void abandon();  // its loop goes away: drops the handle

  // After it has left the loop.
  // The status counts, whatever became of the answer's body. A 2xx given before the whole body was
  // sent does not: its receiver cannot have taken what it has not seen.
  bool answered() const;
  HttpResponse take_response();
  Result<void> probed() const;
  Error error(bool cancelled) const;  // why there is no answer

 private:
  struct EasyCleanup {
    void operator()(void* easy) const;
  };
  struct ListCleanup {
    void operator()(curl_slist* list) const;
  };
  using List = std::unique_ptr<curl_slist, ListCleanup>;
  static void append(List& list, const std::string& line);

  void set_common_options();
  void set_route(const Addresses& addresses);
  void set_request();

  std::size_t read_body(char* to, std::size_t room);
  std::size_t take_header(std::string_view line);
  std::size_t take_body(std::string_view bytes);
  int open_socket(void* address);  // curl_sockaddr*; -1: refused
  void on_status(int status);

  std::uint64_t uploaded() const;
  std::string peer() const;
  std::string connected_peer() const;
  std::string timeout_phase() const;
  std::string tls_failure() const;

  const Environment environment_;
  const Purpose purpose_;
  const HttpRequest request_;
  const Url url_;
  const SteadyTime begun_;
  boost::asio::steady_timer wake_;
  std::unique_ptr<void, EasyCleanup> easy_;
  List headers_;
  List route_;                          // CURLOPT_CONNECT_TO
  List resolved_;                       // CURLOPT_RESOLVE
  std::array<char, 256> curl_error_{};  // CURL_ERROR_SIZE

  std::uint64_t body_bytes_ = 0;
  std::size_t part_ = 0;  // where read_body() is in request_.body
  std::size_t part_offset_ = 0;

  HttpResponse response_;
  std::size_t head_bytes_ = 0;
  bool in_head_ = false;   // of a final answer
  std::string last_peer_;  // the last address that was tried
  std::string refusal_;    // by open_socket()
  bool done_ = false;
  int code_ = 0;  // CURLcode, when done_
};

}  // namespace sluice::egress
