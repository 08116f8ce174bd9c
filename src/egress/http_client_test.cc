#include "egress/http_client.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <mutex>

#include "egress/testing/client.h"

namespace sluice::egress {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::answer_all;
using testing::Client;
using testing::Peer;
using testing::post;
using testing::TestServer;
using testing::url_of;

TEST(HttpClient, SendsTheGatheredBodyAndGivesBackTheAnswer) {
  std::mutex mutex;
  testing::Request seen;
  TestServer server([&](Peer& peer) {
    while (auto request = peer.read_request()) {
      {
        const std::lock_guard lock(mutex);
        seen = *request;
      }
      peer.answer(202, "X-A: b\r\n", "thanks");
    }
  });
  Client client;
  HttpRequest request = post(url_of(server, "/in?key=1"), {"[", "{\"a\":1}", "", ",", "{}", "]"});
  request.headers = {{"Content-Type", "application/json"}, {"X-Empty", ""}};
  const Result<HttpResponse> response = client.perform(request);
  ASSERT_TRUE(response.has_value()) << response.error().message;
  EXPECT_EQ(response->status, 202);
  EXPECT_EQ(response->body, "thanks");
  const std::pair<std::string, std::string> header = {"X-A", "b"};
  EXPECT_EQ(response->headers.at(0), header);
  EXPECT_FALSE(response->retry_after.has_value());

  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen.body, "[{\"a\":1},{}]");
  EXPECT_EQ(seen.head.substr(0, seen.head.find('\r')), "POST /in?key=1 HTTP/1.1");
  EXPECT_NE(seen.head.find("\r\nContent-Length: 12\r\n"), std::string::npos) << seen.head;
  EXPECT_NE(seen.head.find(fmt::format("\r\nHost: 127.0.0.1:{}\r\n", server.port())),
            std::string::npos)
      << seen.head;
  EXPECT_NE(seen.head.find("\r\nContent-Type: application/json\r\n"), std::string::npos);
  EXPECT_NE(seen.head.find("\r\nX-Empty:\r\n"), std::string::npos) << seen.head;
  EXPECT_EQ(seen.head.find("Expect"), std::string::npos) << seen.head;
  EXPECT_EQ(seen.head.find("Transfer-Encoding"), std::string::npos) << seen.head;
}

TEST(HttpClient, SendsLargeBodiesWhole) {
  std::string body(7'000'001, 'x');
  for (std::size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('a' + i % 26);
  std::mutex mutex;
  std::string seen;
  TestServer server([&](Peer& peer) {
    while (auto request = peer.read_request()) {
      {
        const std::lock_guard lock(mutex);
        seen = request->body;
      }
      peer.answer(200);
    }
  });
  Client client;
  const std::string_view view = body;
  const Result<HttpResponse> response = client.perform(
      post(url_of(server), {view.substr(0, 1), view.substr(1, 3'000'000), view.substr(3'000'001)}));
  ASSERT_TRUE(response.has_value()) << response.error().message;
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(seen == body);
}

TEST(HttpClient, EveryStatusIsAValueAndRedirectsAreNotFollowed) {
  for (const int status :
       {200, 204, 301, 302, 307, 400, 401, 403, 404, 408, 410, 418, 429, 500, 503, 599}) {
    TestServer server([&](Peer& peer) {
      while (peer.read_request().has_value()) {
        peer.answer(status, fmt::format("Location: http://127.0.0.1:{}/away\r\n", 9));
      }
    });
    Client client;
    const Result<HttpResponse> response = client.perform(post(url_of(server)));
    ASSERT_TRUE(response.has_value()) << status << response.error().message;
    EXPECT_EQ(response->status, status);
    EXPECT_EQ(server.connections(), 1);
  }
}

TEST(HttpClient, UsesTheMethodsOfWebhooks) {
  for (const std::string method : {"POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"}) {
    std::mutex mutex;
    std::string line;
    TestServer server([&](Peer& peer) {
      while (auto request = peer.read_request()) {
        {
          const std::lock_guard lock(mutex);
          line = request->head.substr(0, request->head.find('\r'));
        }
        peer.answer(200);
      }
    });
    Client client;
    HttpRequest request = post(url_of(server), {});
    request.method = method;
    const Result<HttpResponse> response = client.perform(request);
    ASSERT_TRUE(response.has_value()) << method << response.error().message;
    const std::lock_guard lock(mutex);
    EXPECT_EQ(line, method + " /in HTTP/1.1");
  }
}

TEST(HttpClient, ReadsRetryAfter) {
  TestServer server([](Peer& peer) {
    while (peer.read_request().has_value()) peer.answer(503, "retry-after: 120 \r\n");
  });
  Client client;
  const Result<HttpResponse> response = client.perform(post(url_of(server)));
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->retry_after, 120s);
}

TEST(HttpClient, SkipsInformationalAnswers) {
  TestServer server([](Peer& peer) {
    while (peer.read_request().has_value()) {
      peer.write("HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n");
      peer.answer(201);
    }
  });
  Client client;
  const Result<HttpResponse> response = client.perform(post(url_of(server)));
  ASSERT_TRUE(response.has_value()) << response.error().message;
  EXPECT_EQ(response->status, 201);
  EXPECT_FALSE(response->retry_after.has_value());
}

TEST(HttpClient, RefusesRequestsThatWouldBreakTheHead) {
  TestServer server(answer_all);
  Client client;
  HttpRequest request = post(url_of(server));
  request.headers = {{"X-A", "b\r\nX-C: d"}};
  EXPECT_EQ(client.perform(request).error().code, ErrorCode::InvalidArgument);
  request.headers = {{"X A", "b"}};
  EXPECT_EQ(client.perform(request).error().code, ErrorCode::InvalidArgument);
  request.headers = {};
  request.method = "POST /evil HTTP/1.1\r\nX: y";
  EXPECT_EQ(client.perform(request).error().code, ErrorCode::InvalidArgument);
  EXPECT_EQ(server.connections(), 0);
}

// ---- connections

TEST(HttpClientConnections, AnOrganisationReusesItsConnectionAndSharesItWithNoOther) {
  TestServer server(answer_all);
  Client client;
  for (const std::uint64_t organisation : {1, 1, 2, 2, 1, 2}) {
    HttpRequest request = post(url_of(server));
    request.organisation = OrganisationId{organisation};
    ASSERT_TRUE(client.perform(request).has_value());
  }
  EXPECT_EQ(server.connections(), 2);
}

TEST(HttpClientConnections, AConnectionThatTheServerClosedInTheMeantimeIsReplaced) {
  TestServer server([](Peer& peer) {
    if (peer.read_request().has_value()) peer.answer(200);
    // Hangs up without having announced it.
  });
  Client client;
  for (int i = 0; i < 20; ++i) {
    const Result<HttpResponse> response = client.perform(post(url_of(server)));
    // The hang-up may also cross the next request on its way.
    if (!response.has_value()) {
      EXPECT_EQ(response.error().code, ErrorCode::Unavailable);
    } else {
      EXPECT_EQ(response->status, 200);
    }
  }
}

// A reused connection that dies after the body has been taken must not make curl send it again.
TEST(HttpClientConnections, ABodyIsNeverSentTwiceByOneAttempt) {
  std::atomic<int> bodies = 0;
  std::atomic<int> strays = 0;
  {
    TestServer server([&](Peer& peer) {
      if (peer.number() > 1) {  // libcurl may connect once more before it sees that it must not
        strays += static_cast<int>(peer.read(1000).size());
        return;
      }
      if (!peer.read_request().has_value()) return;
      ++bodies;
      peer.answer(200);
      if (peer.read_request().has_value()) ++bodies;
      peer.reset();
    });
    Client client;
    ASSERT_TRUE(client.perform(post(url_of(server))).has_value());
    const Result<HttpResponse> second = client.perform(post(url_of(server)));
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, ErrorCode::Unavailable);
  }
  EXPECT_EQ(bodies, 2);
  EXPECT_EQ(strays, 0);
}

TEST(HttpClientConnections, WaitAtTheLimitOfAHost) {
  TestServer server(answer_all);
  Settings settings = Client::local_settings();
  settings.connections_per_host_max = 3;
  Client client(settings);
  std::array<std::optional<Result<HttpResponse>>, 50> results;
  std::size_t ended = 0;
  for (auto& result : results) {
    const SteadyTime deadline = client.clock.steady() + 30s;
    asio::co_spawn(client.loop,
                   testing::store(client.http.perform(post(url_of(server)), deadline), result),
                   [&](std::exception_ptr) {
                     if (++ended == results.size()) client.loop.stop();
                   });
  }
  client.loop.run();
  for (const auto& result : results) EXPECT_TRUE(result->has_value());
  EXPECT_LE(server.connections(), 3);
}

TEST(HttpClientConnections, RefusedIsUnavailable) {
  std::uint16_t port = 0;
  {
    TestServer server(answer_all);
    port = server.port();
  }
  Client client;
  const auto result = client.perform(post(fmt::format("http://127.0.0.1:{}/", port)));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Unavailable);
  EXPECT_EQ(result.error().message, fmt::format("connection refused by 127.0.0.1:{}", port));
}

TEST(HttpClientConnections, HangingUpIsUnavailable) {
  const std::string body(4'000'000, 'x');
  const std::vector<TestServer::Script> scripts = {
      [](Peer&) {},                             // before reading anything
      [](Peer& peer) { peer.read_head(); },     // before the body
      [](Peer& peer) { peer.read_request(); },  // after the body
      [](Peer& peer) {
        peer.read_request();
        peer.reset();
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 2");
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("220 smtp.example ESMTP\r\n\r\n");
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 100 Continue\r\n\r\n");
      },
  };
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    SCOPED_TRACE(i);
    TestServer server(scripts[i]);
    Client client;
    const auto result = client.perform(post(url_of(server), {body}));
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::Unavailable) << result.error().message;
    RecordProperty(fmt::format("message{}", i), result.error().message);
  }
}

// However the last of a large body went out, nothing is left to do but to wait.
TEST(HttpClient, RestsWhileItWaitsForTheAnswer) {
  const std::string body(6'000'000, 'x');
  std::atomic<bool> asked = false, may_answer = false;
  TestServer server([&](Peer& peer) {
    while (peer.read_request()) {
      asked = true;
      while (!may_answer) peer.wait(1ms);
      peer.answer(200);
    }
  });
  Client client;
  for (const std::size_t bytes : {body.size(), std::size_t{600'000}, std::size_t{1}}) {
    asked = may_answer = false;
    std::optional<Result<HttpResponse>> result;
    const std::string_view part = std::string_view(body).substr(0, bytes);
    asio::co_spawn(
        client.loop,
        testing::store(
            client.http.perform(post(url_of(server), {part}), client.clock.steady() + 1h), result),
        [](std::exception_ptr thrown) { EXPECT_FALSE(thrown); });
    while (!asked) client.loop.run_one_for(1ms);
    int handlers = 0;
    while (handlers < 1000 && client.loop.run_one_for(20ms) > 0) ++handlers;
    EXPECT_LT(handlers, 1000) << "it does not come to rest after " << bytes << " bytes";
    may_answer = true;
    while (!result.has_value()) client.loop.run_one_for(1ms);
    EXPECT_TRUE(result->has_value());
  }
}

// ---- deadlines

TEST(HttpClientDeadline, ASilentServerTimesOut) {
  TestServer server([](Peer& peer) {
    peer.read_request();
    peer.wait(1h);
  });
  Client client;
  const auto result = client.perform(post(url_of(server)), 150ms);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Timeout);
  EXPECT_NE(result.error().message.find("waiting for the status line"), std::string::npos)
      << result.error().message;
}

TEST(HttpClientDeadline, AHeadThatDripsTimesOut) {
  TestServer server([](Peer& peer) {
    peer.read_request();
    for (const char c : std::string("HTTP/1.1")) {
      if (!peer.write(std::string(1, c)) || !peer.wait(60ms)) return;
    }
  });
  Client client;
  EXPECT_EQ(client.perform(post(url_of(server)), 200ms).error().code, ErrorCode::Timeout);
}

TEST(HttpClientDeadline, AServerThatReadsSlowlyTimesOut) {
  const std::string body(30'000'000, 'x');
  TestServer server([](Peer& peer) {
    while (!peer.read(10).empty() && peer.wait(100ms)) {
    }
  });
  Client client;
  const auto result = client.perform(post(url_of(server), {body}), 300ms);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::Timeout);
  EXPECT_NE(result.error().message.find("sending the body ("), std::string::npos)
      << result.error().message;
}

TEST(HttpClientDeadline, APassedOneEndsAtOnce) {
  TestServer server(answer_all);
  Client client;
  EXPECT_EQ(client.perform(post(url_of(server)), -1s).error().code, ErrorCode::Timeout);
}

// ---- the answer's body never turns a status into an error

TEST(HttpClientBody, AnEndlessOneIsCutAt64KiB) {
  TestServer server([](Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const std::string block(1 << 16, 'y');
    while (peer.write(block)) {
    }
  });
  Client client;
  const auto result = client.perform(post(url_of(server)));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 200);
  EXPECT_EQ(result->body.size(), 64u * 1024u);
}

TEST(HttpClientBody, OneThatDripsIsLeftAfterASecond) {
  TestServer server([](Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (peer.write("z") && peer.wait(20ms)) {
    }
  });
  Client client;
  const auto result = client.perform(post(url_of(server)));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 200);
  EXPECT_FALSE(result->body.empty());
}

TEST(HttpClientBody, TheStatusLineAloneCounts) {
  const std::vector<TestServer::Script> scripts = {
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\n");
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\nContent-Length: 10\r\n\r\nabc");
        peer.reset();
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\n");
        while (peer.write("X-Flood: " + std::string(1000, 'f') + "\r\n")) {
        }
      },
      [](Peer& peer) {
        peer.read_request();
        peer.write("HTTP/1.1 503 No\r\nRetry-After: 3\r\n");
        peer.wait(1h);
      },
  };
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    SCOPED_TRACE(i);
    TestServer server(scripts[i]);
    Client client;
    const auto result = client.perform(post(url_of(server)));
    ASSERT_TRUE(result.has_value()) << result.error().message;
    EXPECT_EQ(result->status, 503);
    EXPECT_EQ(result->retry_after, 3s);
  }
}

TEST(HttpClientBody, ARefusalBeforeTheWholeRequestIsAnAnswer) {
  const std::string body(30'000'000, 'x');
  TestServer server([](Peer& peer) {
    peer.read_head();
    peer.answer(413, "Connection: close\r\n", "too much");
    peer.wait(1h);
  });
  Client client;
  const auto result = client.perform(post(url_of(server), {body}));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 413);
}

// A receiver cannot have taken what it has not read, so its 200 does not count.
TEST(HttpClientBody, ASuccessBeforeTheWholeRequestIsNone) {
  const std::string body(30'000'000, 'x');
  TestServer hangs_up([](Peer& peer) {
    peer.read_head();
    peer.answer(200);
  });
  TestServer stalls([](Peer& peer) {
    peer.read_head();
    peer.answer(200);
    peer.wait(1h);
  });
  Client client;
  EXPECT_EQ(client.perform(post(url_of(hangs_up), {body})).error().code, ErrorCode::Unavailable);
  EXPECT_EQ(client.perform(post(url_of(stalls), {body}), 300ms).error().code, ErrorCode::Timeout);
}

TEST(HttpClientBody, ASuccessGivenEarlyCountsOnceTheWholeRequestWasRead) {
  const std::string body(3'000'000, 'x');
  TestServer server([](Peer& peer) {
    peer.read_head();
    peer.answer(200);
    std::size_t got = 0;
    while (got < 3'000'000) {
      const std::string more = peer.read(1 << 16);
      if (more.empty()) return;
      got += more.size();
    }
    peer.wait(1h);
  });
  Client client;
  const auto result = client.perform(post(url_of(server), {body}));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->status, 200);
}

// ---- probe, cancellation, end of life

TEST(HttpClientProbe, ConnectsAndSendsNothing) {
  std::atomic<int> bytes = 0;
  std::atomic<int> ended = 0;
  TestServer server([&](Peer& peer) {
    bytes += static_cast<int>(peer.read(100).size());
    ++ended;
  });
  {
    Client client;
    EXPECT_TRUE(client.probe(url_of(server)).has_value());
  }
  while (ended == 0) std::this_thread::yield();
  EXPECT_EQ(bytes, 0);
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClientProbe, ReportsWhatFails) {
  std::uint16_t port = 0;
  {
    TestServer server(answer_all);
    port = server.port();
  }
  Client client;
  EXPECT_EQ(client.probe(fmt::format("http://127.0.0.1:{}/", port)).error().code,
            ErrorCode::Unavailable);
  EXPECT_EQ(client.probe("ftp://127.0.0.1/").error().code, ErrorCode::InvalidArgument);
}

TEST(HttpClientCancel, ClosesTheConnection) {
  std::atomic<bool> hung_up = false;
  std::atomic<bool> asked = false;
  TestServer server([&](Peer& peer) {
    peer.read_request();
    asked = true;
    hung_up = peer.read(1).empty();
  });
  Client client;
  asio::cancellation_signal signal;
  std::optional<Result<HttpResponse>> result;
  asio::co_spawn(
      client.loop,
      testing::store(client.http.perform(post(url_of(server)), client.clock.steady() + 1h), result),
      asio::bind_cancellation_slot(signal.slot(),
                                   [](std::exception_ptr thrown) { EXPECT_FALSE(thrown); }));
  while (!asked) client.loop.run_one_for(1ms);
  signal.emit(asio::cancellation_type::terminal);
  while (!result.has_value()) client.loop.run_one_for(1ms);
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(result->error().code, ErrorCode::Cancelled);
  while (!hung_up) std::this_thread::yield();
}

TEST(HttpClientEnd, GoesWithRequestsUnderWayOnceTheLoopHasStopped) {
  std::atomic<int> asked = 0;
  TestServer server([&](Peer& peer) {
    peer.read_request();
    ++asked;
    peer.wait(1h);
  });
  const std::string body(1000, 'x');
  std::array<std::optional<Result<HttpResponse>>, 5> results;
  Client client;
  for (auto& result : results) {
    const SteadyTime deadline = client.clock.steady() + 1h;
    asio::co_spawn(
        client.loop,
        testing::store(client.http.perform(post(url_of(server), {body}), deadline), result),
        [](std::exception_ptr) { ADD_FAILURE(); });
  }
  while (asked < 5) client.loop.run_one_for(1ms);
}

}  // namespace
}  // namespace sluice::egress
