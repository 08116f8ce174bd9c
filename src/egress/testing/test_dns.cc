#include "egress/testing/test_dns.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "base/assert.h"

namespace sluice::egress::testing {
namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr std::uint8_t kTypeA = 1;
constexpr std::uint8_t kTypeAaaa = 28;

struct Question {
  std::string name;
  std::uint8_t type = 0;
  std::size_t end = 0;  // one past it in the query
};

Question read_question(const std::string& query) {
  Question question;
  std::size_t at = kHeaderBytes;
  while (at < query.size() && query[at] != 0) {
    const auto length = static_cast<std::size_t>(static_cast<unsigned char>(query[at]));
    if (!question.name.empty()) question.name += '.';
    for (const char c : query.substr(at + 1, length)) {
      question.name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    at += 1 + length;
  }
  question.type = static_cast<std::uint8_t>(query.at(at + 2));
  question.end = at + 5;
  return question;
}

template <class Bytes>
void add_record(std::string& reply, std::uint8_t type, const Bytes& address) {
  reply += std::string("\xc0\x0c\x00", 3) + static_cast<char>(type);  // the question's name, type
  reply += std::string("\x00\x01\x00\x00\x00\x01\x00", 7);            // IN, lives 1 s
  reply += static_cast<char>(address.size());
  reply.append(address.begin(), address.end());
}

}  // namespace

TestDns::TestDns(Answer answer) : answer_(std::move(answer)) {
  socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  SLUICE_ASSERT(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  socklen_t size = sizeof(address);
  ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

TestDns::~TestDns() {
  stopping_ = true;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_);
  ::sendto(socket_, "", 0, 0, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  thread_.join();
  ::close(socket_);
}

std::string TestDns::servers() const { return fmt::format("127.0.0.1:{}", port_); }

void TestDns::serve() {
  while (true) {
    std::string query(512, '\0');
    sockaddr_in from = {};
    socklen_t from_size = sizeof(from);
    const ssize_t got = ::recvfrom(socket_, query.data(), query.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &from_size);
    if (stopping_) return;
    if (got <= static_cast<ssize_t>(kHeaderBytes)) continue;
    query.resize(static_cast<std::size_t>(got));
    const Question question = read_question(query);
    ++queries_;
    const auto addresses = answer_(question.name);
    if (!addresses.has_value()) continue;

    std::string records;
    int count = 0;
    for (const boost::asio::ip::address& address : *addresses) {
      if (question.type == kTypeA && address.is_v4()) {
        add_record(records, kTypeA, address.to_v4().to_bytes());
        ++count;
      } else if (question.type == kTypeAaaa && address.is_v6()) {
        add_record(records, kTypeAaaa, address.to_v6().to_bytes());
        ++count;
      }
    }
    std::string reply = query.substr(0, 2);                              // its id
    reply += std::string(addresses->empty() ? "\x81\x83" : "\x81\x80");  // NXDOMAIN or fine
    reply += std::string("\x00\x01\x00", 3) + static_cast<char>(count);
    reply += std::string(4, '\0');  // no authority, nothing additional
    reply += query.substr(kHeaderBytes, question.end - kHeaderBytes) + records;
    ::sendto(socket_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), from_size);
  }
}

}  // namespace sluice::egress::testing
