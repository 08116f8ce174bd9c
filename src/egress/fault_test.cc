#include "egress/fault.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>

#include "egress/testing/client.h"
#include "egress/testing/test_dns.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::answer_all;
using testing::Client;
using testing::Peer;
using testing::post;
using testing::TestDns;
using testing::TestServer;
using testing::url_of;

Fault fault_of(Client& client, const std::string& url, std::chrono::milliseconds time = 10s) {
  Fault fault{};
  const auto result = testing::run(
      client.loop, client.http.perform(post(url), client.clock.steady() + time, &fault));
  EXPECT_FALSE(result.has_value()) << url;
  return fault;
}

std::uint16_t closed_port() { return TestServer(answer_all).port(); }

TEST(Fault, IsTheNetworksOnTheWayToTheDestination) {
  Client client;
  EXPECT_EQ(fault_of(client, fmt::format("http://127.0.0.1:{}/", closed_port())), Fault::Network);
  TestServer plain([](Peer& peer) { peer.write("this is no TLS at all\r\n"); });
  EXPECT_EQ(fault_of(client, fmt::format("https://127.0.0.1:{}/", plain.port())), Fault::Network);
}

TEST(Fault, IsTheDestinationsOnceItIsReached) {
  Client client;
  TestServer silent([](Peer& peer) { peer.read_request(), peer.wait(60s); });
  EXPECT_EQ(fault_of(client, url_of(silent), 100ms), Fault::Destination);
  TestServer gone([](Peer& peer) { peer.read_request(); });
  EXPECT_EQ(fault_of(client, url_of(gone)), Fault::Destination);
  TestServer other([](Peer& peer) { peer.read_request(), peer.write("220 mail.example\r\n"); });
  EXPECT_EQ(fault_of(client, url_of(other)), Fault::Destination);
}

TEST(Fault, IsTheDestinationsWhereTheRulesRefuseIt) {
  Client client;
  EXPECT_EQ(fault_of(client, "http://10.0.0.1/"), Fault::Destination);
  EXPECT_EQ(fault_of(client, "ftp://127.0.0.1/"), Fault::Destination);
}

TEST(Fault, IsOursWhereOurOwnLimitHoldsItUp) {
  Settings settings = Client::local_settings();
  settings.connections_per_host_max = 1;
  Client client(settings);
  TestServer server([](Peer& peer) { peer.read_request(), peer.wait(60s); });
  HttpRequest held_request = post(url_of(server));
  HttpRequest waiting_request = held_request;
  Fault first{};
  Fault second{};
  std::optional<Result<HttpResponse>> held;
  const auto both = [&]() -> Awaitable<bool> {
    const auto executor = co_await asio::this_coro::executor;
    const SteadyTime soon = client.clock.steady() + 300ms;
    asio::co_spawn(executor,
                   testing::store(client.http.perform(std::move(held_request), soon, &first), held),
                   asio::detached);
    const auto result =
        co_await client.http.perform(std::move(waiting_request), soon - 100ms, &second);
    co_return result.has_value();
  };
  EXPECT_FALSE(testing::run(client.loop, both()));
  EXPECT_EQ(second, Fault::Us);
}

TEST(Fault, IsOursOnTheWayThroughTheProxy) {
  Settings settings = Client::local_settings();
  settings.proxy = fmt::format("http://127.0.0.1:{}", closed_port());
  Client no_proxy(settings);
  EXPECT_EQ(fault_of(no_proxy, "http://127.0.0.1/"), Fault::Us);

  for (const auto& [status, fault] : {std::pair(407, Fault::Us), std::pair(502, Fault::Network)}) {
    TestServer proxy([status = status](Peer& peer) { peer.read_request(), peer.answer(status); });
    settings.proxy = fmt::format("http://127.0.0.1:{}", proxy.port());
    Client client(settings);
    EXPECT_EQ(fault_of(client, "https://127.0.0.1/"), fault) << status;
  }
}

TEST(Fault, OfANameThatDoesNotExistIsTheNetworks) {
  TestDns dns([](const std::string&) { return std::vector<asio::ip::address>{}; });
  Settings settings;
  settings.dns_servers = dns.servers();
  Client client(settings);
  EXPECT_EQ(fault_of(client, "http://nowhere.example/"), Fault::Network);
}

TEST(Fault, OfDnsServersThatRefuseOrHaveNeverAnsweredIsOurs) {
  Settings settings;
  settings.dns_servers = fmt::format("127.0.0.1:{}", closed_port());
  Client refused(settings);
  EXPECT_EQ(fault_of(refused, "http://any.example/"), Fault::Us);

  TestDns silent([](const std::string&) { return std::nullopt; });
  settings.dns_servers = silent.servers();
  Client unheard(settings);
  EXPECT_EQ(fault_of(unheard, "http://any.example/", 100ms), Fault::Us);
}

TEST(Fault, OfOneNameThatGetsNoAnswerIsTheNetworksAndOfMoreIsOurs) {
  TestDns dns([](const std::string& name) -> std::optional<std::vector<asio::ip::address>> {
    if (name.starts_with("no")) return std::vector<asio::ip::address>{};
    return std::nullopt;
  });
  Settings settings;
  settings.dns_servers = dns.servers();
  Client client(settings);
  EXPECT_EQ(fault_of(client, "http://no1.example/"), Fault::Network);
  EXPECT_EQ(fault_of(client, "http://tarpit.example/", 100ms), Fault::Network);
  EXPECT_EQ(fault_of(client, "http://tarpit.example/", 100ms), Fault::Network);
  EXPECT_EQ(fault_of(client, "http://other.example/", 100ms), Fault::Us);
  EXPECT_EQ(fault_of(client, "http://no2.example/"), Fault::Network);
  EXPECT_EQ(fault_of(client, "http://tarpit.example/", 100ms), Fault::Network);
}

}  // namespace
}  // namespace sluice::egress
