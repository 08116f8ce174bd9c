#pragma once
// A DNS server on 127.0.0.1 for tests, over UDP.

#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace sluice::egress::testing {

class TestDns {
 public:
  // What a name (lower case, without trailing dot) has; none: no such name; nullopt: no answer is
  // given at all. Called on the server's thread, once a query (A and AAAA are two).
  using Answer =
      std::function<std::optional<std::vector<boost::asio::ip::address>>(const std::string& name)>;

  explicit TestDns(Answer answer);
  ~TestDns();
  TestDns(const TestDns&) = delete;
  TestDns& operator=(const TestDns&) = delete;

  std::string servers() const;              // for Settings::dns_servers
  int queries() const { return queries_; }  // received so far

 private:
  void serve();

  const Answer answer_;
  int socket_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> queries_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace sluice::egress::testing
