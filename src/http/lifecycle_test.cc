// Listening, stopping, clients that vanish, answers from elsewhere.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "http/server_fixture.h"

namespace sluice::http {
namespace {

class Lifecycle : public ServerTest {
 protected:
  using Held = std::pair<Body, Responder>;
  void hold_requests() {
    handler_.answer = [this](const RequestHead&, Body body, Responder responder) {
      held_.put({std::move(body), std::move(responder)});
    };
  }
  Mailbox<Held> held_;
};

TEST_F(Lifecycle, AnswersComeFromAnyThread) {
  hold_requests();
  serve();
  std::thread answering([this] {
    for (int i = 0; i < 1000; ++i) {
      Held held = held_.take();
      std::move(held.second).send({.body = std::string(held.first.view())});
    }
  });
  std::vector<std::thread> clients;
  for (int i = 0; i < 10; ++i) {
    clients.emplace_back([this, i] {
      RawClient c = client();
      for (int k = 0; k < 100; ++k) {
        const std::string body = fmt::format("{}/{}", i, k);
        const auto answer = c.ask(post("/", body));
        EXPECT_TRUE(answer && answer->body == body);
      }
    });
  }
  for (auto& c : clients) c.join();
  answering.join();
}

TEST_F(Lifecycle, DroppedResponderAnswers500) {
  handler_.answer = [](const RequestHead& head, Body, Responder responder) {
    if (head.path == "/elsewhere") {
      std::thread([dropped = std::move(responder)] {}).join();
    } else if (head.path == "/assigned") {
      Responder other = std::move(responder);
      responder = std::move(other);
    }
  };
  serve();
  RawClient c = client();
  for (const char* path : {"/here", "/elsewhere", "/assigned"}) {
    const auto answer = c.ask(get(path));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 500);
    EXPECT_FALSE(answer->body.empty());
  }
}

TEST_F(Lifecycle, HalfClosedClientGetsItsAnswer) {
  hold_requests();
  serve();
  RawClient c = client();
  c.send(post("/", "hello") + post("/", "world"));
  c.finish_sending();
  for (const char* body : {"hello", "world"}) {
    Held held = held_.take();
    EXPECT_EQ(held.first.view(), body);
    std::move(held.second).send({.body = body});
    EXPECT_EQ(c.read_answer()->body, body);
  }
  EXPECT_TRUE(c.closed_without_more());
}

TEST_F(Lifecycle, ClientMayVanishAtAnyMoment) {
  hold_requests();
  serve({}, 1);
  const std::string request = post("/", "hello");
  for (std::size_t sent = 0; sent < request.size(); ++sent) {
    RawClient c = client();
    ASSERT_TRUE(c.send(std::string_view(request).substr(0, sent)));
    if (sent % 2 == 0) c.reset();
  }
  for (int i = 0; i < 20; ++i) {  // while the handler has the request
    RawClient c = client();
    ASSERT_TRUE(c.send(request));
    Held held = held_.take();
    c.reset();
    std::move(held.second).send({.body = std::string(1'000'000, 'x')});
  }
  EXPECT_TRUE(metric_becomes("sluice_http_connections", 0));
  EXPECT_EQ(held_.size(), 0u);
}

TEST_F(Lifecycle, StopClosesIdleConnectionsAtOnce) {
  serve();
  RawClient fresh = client();
  RawClient used = client();
  RawClient in_header = client();
  EXPECT_EQ(used.ask(get("/"))->status, 200);
  ASSERT_TRUE(in_header.send("GET / HT"));
  EXPECT_TRUE(metric_becomes("sluice_http_connections", 3));
  server_->stop(60'000);
  EXPECT_TRUE(fresh.closed_without_more());
  EXPECT_TRUE(used.closed_without_more());
  EXPECT_FALSE(in_header.read_answer());
  EXPECT_FALSE(client().connected());
  server_->stop(0);  // again: nothing left to do
}

TEST_F(Lifecycle, StopLetsWhatIsUnderWayFinish) {
  hold_requests();
  serve();
  RawClient answering = client();
  ASSERT_TRUE(answering.send(post("/", "a") + post("/", "not any more")));
  Held first = held_.take();
  RawClient in_body = client();
  ASSERT_TRUE(in_body.send(
      "POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_EQ(in_body.read_answer()->status, 100);
  RawClient idle = client();

  std::thread stopping([this] { server_->stop(60'000); });
  EXPECT_TRUE(idle.closed_without_more());  // the stop has begun, on that loop
  ASSERT_TRUE(in_body.send("bc"));
  Held second = held_.take();
  std::move(second.second).send({.body = std::string(second.first.view())});
  EXPECT_EQ(in_body.read_answer()->body, "bc");
  std::move(first.second).send({.status = 201});
  EXPECT_EQ(answering.read_answer()->status, 201);
  EXPECT_TRUE(answering.closed_without_more());
  stopping.join();
  EXPECT_EQ(held_.size(), 0u);
}

TEST_F(Lifecycle, StopCutsOffWhatOutlastsItsDeadline) {
  hold_requests();
  serve();
  RawClient c = client();
  ASSERT_TRUE(c.send(post("/", "hello")));
  Held held = held_.take();
  server_->stop(20);
  EXPECT_FALSE(c.read_answer());
  server_.reset();
  // The handler still has it: neither body nor responder may touch what is gone.
  EXPECT_EQ(held.first.view(), "hello");
  std::move(held.second).send({});
}

TEST_F(Lifecycle, RespondersOutliveTheLoopsThreads) {
  hold_requests();
  serve();
  RawClient c = client();
  ASSERT_TRUE(c.send(post("/", "hello")));
  Held held = held_.take();
  threads_->stop_and_join();
  server_.reset();
  held.first = Body();
  { const Responder dropped = std::move(held.second); }
}

TEST_F(Lifecycle, BodyOutlivesServerAndThreads) {
  hold_requests();
  serve();
  RawClient c = client();
  ASSERT_TRUE(c.send(post("/", "hello")));
  Held held = held_.take();
  std::move(held.second).send({});
  EXPECT_EQ(c.read_answer()->status, 200);
  server_.reset();
  threads_->stop_and_join();
  threads_.reset();
  EXPECT_EQ(held.first.view(), "hello");
}

TEST_F(Lifecycle, NeverStartedLoopsDoNotKeepTheServer) {
  IoThreads threads(2);
  auto server = Server::listen({.address = "127.0.0.1:0"}, threads, handler_, metrics_);
  ASSERT_TRUE(server.has_value());
  const std::uint16_t port = (*server)->port();
  RawClient waiting(port);
  EXPECT_TRUE(waiting.connected());
  server->reset();
  EXPECT_FALSE(RawClient(port).connected());
}

TEST_F(Lifecycle, AddressesThatMakeNoSense) {
  IoThreads threads(1);
  for (const char* address :
       {"", ":", "8080", "localhost", "[localhost]:80", "example.com:80", "127.0.0.1",
        "127.0.0.1:", "::1:80", "[127.0.0.1]:80", "[::1]", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:80x", "256.0.0.1:80", "a host:80", "[]:80", "[:80"}) {
    const auto server = Server::listen({.address = address}, threads, handler_, metrics_);
    ASSERT_FALSE(server.has_value()) << address;
    EXPECT_EQ(server.error().code, ErrorCode::InvalidArgument) << address;
    EXPECT_NE(server.error().message.find("127.0.0.1:8080"), std::string::npos);
  }
}

TEST_F(Lifecycle, ListensOnNamesOfThisMachineAndIpv6) {
  serve_with({.address = "localhost:0"});
  EXPECT_EQ(client().ask(get("/"))->status, 200);
  EXPECT_EQ(server_->url(), fmt::format("http://127.0.0.1:{}", server_->port()));
  IoThreads threads(1);
  const auto v6 = Server::listen({.address = "[::1]:0"}, threads, handler_, metrics_);
  ASSERT_TRUE(v6.has_value()) << v6.error().message;
  EXPECT_EQ((*v6)->url(), fmt::format("http://[::1]:{}", (*v6)->port()));
}

TEST_F(Lifecycle, TheAdminsListenerIsKnownByItsRequests) {
  handler_.answer = [](const RequestHead& head, Body, Responder responder) {
    std::move(responder).send({.body = head.admin ? "admin" : "main"});
  };
  serve_with({.address = "127.0.0.1:0", .admin_address = "127.0.0.1:0"});
  const std::string admin_url = server_->admin_url();
  RawClient admin(
      static_cast<std::uint16_t>(std::stoul(admin_url.substr(admin_url.rfind(':') + 1))));
  RawClient main = client();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(admin.ask(get("/"))->body, "admin");
    EXPECT_EQ(main.ask(get("/"))->body, "main");
  }
  EXPECT_TRUE(metric_becomes("sluice_http_connections", 2));
  server_->stop(60'000);
  EXPECT_TRUE(admin.closed_without_more());
}

TEST_F(Lifecycle, PortInUseIsAConflict) {
  serve();
  IoThreads threads(2);
  const std::string address = fmt::format("127.0.0.1:{}", server_->port());
  EXPECT_EQ(server_->url(), "http://" + address);
  const auto second = Server::listen({.address = address}, threads, handler_, metrics_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::Conflict);
  EXPECT_NE(second.error().message.find(address), std::string::npos);

  server_.reset();
  auto third = Server::listen({.address = address}, threads, handler_, metrics_);
  ASSERT_TRUE(third.has_value()) << third.error().message;
  EXPECT_EQ((*third)->url(), "http://" + address);
}

TEST_F(Lifecycle, ForeignAddressIsAnError) {
  IoThreads threads(1);
  const auto server = Server::listen({.address = "192.0.2.1:0"}, threads, handler_, metrics_);
  ASSERT_FALSE(server.has_value());
  EXPECT_EQ(server.error().code, ErrorCode::Io);
  EXPECT_NE(server.error().message.find("192.0.2.1"), std::string::npos);
}

}  // namespace
}  // namespace sluice::http
